"""Translate ms-swift's `swift export`, which merges, quantizes, converts or uploads depending on its flags, to a verb for each."""

from __future__ import annotations

from collections.abc import Sequence

from swift_core.cli import note
from swift_core.contract import TaskSpec, UsageError
from swift_core.options import FALSE, TRUE
from swift_core.plugins import registry

_UPLOAD = "Write: swift push FOLDER hf:ORG/NAME."
_TWO_STEPS = "Merge first: swift merge ADAPTER --output merged; then swift quantize merged, or swift export merged."


def export(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the verb and the arguments for an ms-swift `export` command line; print a note if they differ.

    Raises:
        UsageError: it combines several conversions, or the upload of one.
    """
    rest = list(words)
    if _take_switch(rest, "to-cached-dataset"):
        return _tokenise(rest)
    merge, upload, ollama = (_take_switch(rest, name) for name in ("merge-lora", "push-to-hub", "to-ollama"))
    mcore = [name for name in ("to-mcore", "to-hf") if _take_switch(rest, name)]
    for theirs, ours in (("mcore-model", "--model"), ("mcore-adapter", "--adapter"), ("mcore-adapters", "--adapter")):
        if (value := _take(rest, theirs)) is not None:
            rest += [ours, value]
            note(f"--{theirs.replace('-', '_')} is {ours} here")
    quantizes, converts = _has(rest, "quant-method", "quantization-method", "quantizer"), _has(rest, "to")
    if upload:
        if merge or quantizes or converts or ollama:
            raise UsageError("uploading is a separate step", code="CONVERT-001", where="--push_to_hub", hint=_UPLOAD)
        return "push", _push(rest)
    if ollama:
        note("--to_ollama is read as --to ollama")
        rest += ["--to", "ollama"]
        converts = True
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
    if mcore and not converts:
        note(
            f"--{mcore[0].replace('-', '_')}: Megatron reads and writes Hugging Face checkpoints, so the output is a copy of the checkpoint"
        )
        rest += ["--to", "safetensors"]
    elif not converts and _has(rest, "torch-dtype"):
        note("export --torch_dtype is read as --to safetensors")
        rest += ["--to", "safetensors"]
    return "export", rest


def _tokenise(words: list[str]) -> tuple[str, list[str]]:
    """Return the training verb that tokenises rows for later, and its arguments."""
    task, mode = _take(words, "task-type") or "", _take(words, "template-mode") or ""
    plain = (_take(words, "use-chat-template") or "true").lower() in FALSE
    names = {name.replace("-", "_"): spec.name for spec in registry().all(TaskSpec) for name in (spec.name, *spec.also)}
    verb = names.get(task.replace("-", "_"), "") if task not in ("", "causal_lm") else "dpo" if mode == "rlhf" else ""
    if task not in ("", "causal_lm") and not verb:
        hint = f"Tasks: {', '.join(sorted(set(names.values())))}."
        raise UsageError(f"there is no task '{task}'", code="CONVERT-046", where="--task_type", hint=hint)
    scale = _take(words, "loss-scale") if not verb and plain else None
    read = {"task_type": task, "template_mode": mode, "use_chat_template": "false" if plain else "", "loss_scale": scale or ""}
    verb = verb or ("pretrain" if plain else "sft")
    words += ["--use-chat-template", "false"] if plain and verb == "seq-cls" else []
    given = "".join(f" --{name} {value}" for name, value in read.items() if value)
    note(f"export --to_cached_dataset{given} is read as {verb} --tokenize-only")
    return verb, [*words, "--tokenize-only", "--no-plan"]


def _calibration(words: list[str]) -> list[str]:
    """Translate the calibration flags."""
    if (length := _take(words, "max-length")) is not None:
        note("--max_length is read as --calibration.max-length")
        words += ["--calibration.max-length", length]
    return words


def _push(words: list[str]) -> list[str]:
    """Return the arguments of `swift push`."""
    folder, target = _take(words, "adapters") or _take(words, "model"), _take(words, "hub-model-id")
    private, hub = _take_switch(words, "hub-private-repo"), _take(words, "use-hf")
    if _take(words, "hub-token") is not None:
        note("--hub_token is not used: the token is read from HF_TOKEN or MODELSCOPE_API_TOKEN")
    message = _take(words, "commit-message")
    if not folder or not target or words:
        problem = f"'{words[0]}' has no meaning for an upload" if words else "an upload needs a folder and the name of a repository"
        raise UsageError(problem, code="CONVERT-032", where="--push_to_hub", hint=_UPLOAD)
    scheme = "ms:" if hub is not None and hub.lower() in FALSE else "hf:"
    reference = target if ":" in target else scheme + target
    note(f"export --push_to_hub is read as push: swift push {folder} {reference}")
    return [folder, reference, *(["--private"] if private else []), *(["--message", message] if message else [])]


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
    if value is not None and value.lower() in FALSE:
        note(f"--{name.replace('-', '_')} {value} is the default")
        return False
    return value is not None
