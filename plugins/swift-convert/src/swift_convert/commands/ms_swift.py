"""Translate ms-swift's `swift export`, which merges, quantizes or converts depending on its flags, to the verbs merge, quantize, export."""

from __future__ import annotations

from collections.abc import Sequence

from swift_core.cli import note
from swift_core.contract import UsageError
from swift_core.options import FALSE, TRUE

_UPLOAD = "Upload the result with the hub's own command: hf upload ORG/NAME FOLDER."
_TWO_STEPS = "Merge first: swift merge ADAPTER --output merged; then swift quantize merged, or swift export merged."


def export(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the verb and the arguments for an ms-swift `export` command line; print a note if they differ.

    Raises:
        UsageError: it combines several conversions, or asks for an upload.
    """
    rest = list(words)
    merge, upload, ollama = (_take_switch(rest, name) for name in ("merge-lora", "push-to-hub", "to-ollama"))
    if upload:
        raise UsageError("uploading is not supported", code="CONVERT-001", where="--push_to_hub", hint=_UPLOAD)
    if ollama:
        note("--to_ollama is read as --to ollama")
        rest += ["--to", "ollama"]
    quantizes, converts = _has(rest, "quant-method", "quantization-method", "quantizer"), _has(rest, "to")
    if merge and (quantizes or converts):
        raise UsageError("merging is a separate step", code="CONVERT-002", where="--merge_lora", hint=_TWO_STEPS)
    if merge:
        note("export --merge_lora is read as merge")
        return "merge", rest
    if quantizes and converts:
        raise UsageError(
            "quantizing is a separate step",
            code="CONVERT-003",
            where="--to",
            hint="First run swift quantize, then swift export on its output.",
        )
    if quantizes:
        note("export --quant_method is read as quantize")
        return "quantize", _calibration(rest)
    return "export", rest


def _calibration(words: list[str]) -> list[str]:
    """Translate the calibration flags."""
    if _take(words, "quant-n-samples") is not None:
        note("--quant_n_samples is ignored: the calibration set is sized in tokens, --calibration.tokens (65536 by default)")
    if _take(words, "quant-batch-size") is not None:
        note("--quant_batch_size is ignored: rows are processed one by one")
    if (length := _take(words, "max-length")) is not None:
        note("--max_length is read as --calibration.max-length")
        words += ["--calibration.max-length", length]
    return words


def _name(word: str) -> str:
    return word[2:].partition("=")[0].replace("_", "-") if word.startswith("--") else ""


def _has(words: Sequence[str], *names: str) -> bool:
    return any(_name(word) in names for word in words)


def _take(words: list[str], name: str) -> str | None:
    """Remove a flag and return its value, or None if it is absent."""
    at = next((place for place, word in enumerate(words) if _name(word) == name), None)
    if at is None:
        return None
    _, equals, value = words.pop(at).partition("=")
    if not equals and at < len(words) and not words[at].startswith("--"):
        value = words.pop(at)
    return value


def _take_switch(words: list[str], name: str) -> bool:
    """Remove a boolean flag and return its value."""
    value = _take(words, name)
    if value is not None and value.lower() not in (*TRUE, *FALSE, ""):
        raise UsageError(f"must be true or false, not '{value}'", code="CONVERT-004", where=f"--{name}", hint="Omit it, or write true.")
    return value is not None and value.lower() not in FALSE
