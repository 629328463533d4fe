"""ms-swift's `swift export`, which merges, quantizes and converts by its flags, in our verbs: one of them does each."""

from __future__ import annotations

from collections.abc import Sequence

from swift_core.cli.messages import note
from swift_core.contract.errors import UsageError
from swift_core.options.flags import FALSE, TRUE

_UPLOAD = "Upload the result with the hub's own command: hf upload ORG/NAME FOLDER."
_TWO_STEPS = "Merge first: swift merge ADAPTER --output merged; then swift quantize merged, or swift export merged."


def export(words: Sequence[str]) -> tuple[str, list[str]]:
    """The verb that an `export` command line means here, and its words; a note says what was understood.

    Raises:
        UsageError: it asks for several things at once, or for an upload.
    """
    rest = list(words)
    merge, upload, ollama = (_take_switch(rest, name) for name in ("merge-lora", "push-to-hub", "to-ollama"))
    if upload:
        raise UsageError("nothing is uploaded", where="--push_to_hub", hint=_UPLOAD)
    if ollama:
        note("--to_ollama is --to ollama here")
        rest += ["--to", "ollama"]
    quantizes, converts = _has(rest, "quant-method", "quantization-method", "quantizer"), _has(rest, "to")
    if merge and (quantizes or converts):
        raise UsageError("merging is a step of its own", where="--merge_lora", hint=_TWO_STEPS)
    if merge:
        note("export --merge_lora is merge here")
        return "merge", rest
    if quantizes and converts:
        raise UsageError("quantizing is a step of its own", where="--to", hint="First swift quantize, then swift export what it wrote.")
    if quantizes:
        note("export --quant_method is quantize here")
        return "quantize", _calibration(rest)
    return "export", rest


def _calibration(words: list[str]) -> list[str]:
    """The flags of the calibration, which are in a group of their own."""
    if _take(words, "quant-n-samples") is not None:
        note("--quant_n_samples is not used: rows are counted in tokens here, --calibration.tokens 65536 unless you say otherwise")
    if _take(words, "quant-batch-size") is not None:
        note("--quant_batch_size is not used: rows are computed one by one")
    if (length := _take(words, "max-length")) is not None:
        note("--max_length is --calibration.max-length here")
        words += ["--calibration.max-length", length]
    return words


def _name(word: str) -> str:
    return word[2:].partition("=")[0].replace("_", "-") if word.startswith("--") else ""


def _has(words: Sequence[str], *names: str) -> bool:
    return any(_name(word) in names for word in words)


def _take(words: list[str], name: str) -> str | None:
    """Take a flag and its value out; None where it is not there."""
    at = next((place for place, word in enumerate(words) if _name(word) == name), None)
    if at is None:
        return None
    _, equals, value = words.pop(at).partition("=")
    if not equals and at < len(words) and not words[at].startswith("--"):
        value = words.pop(at)
    return value


def _take_switch(words: list[str], name: str) -> bool:
    """Take a flag that is on or off out."""
    value = _take(words, name)
    if value is not None and value.lower() not in (*TRUE, *FALSE, ""):
        raise UsageError(f"must be true or false, not '{value}'", where=f"--{name}", hint="Leave it out, or write true.")
    return value is not None and value.lower() not in FALSE
