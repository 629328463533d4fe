"""Command lines of `swift eval` that mean something else: a URL in the place of the checkpoint, and ms-swift's flags."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from swift_core.cli import note
from swift_core.contract import UsageError
from swift_core.options import FALSE

_BACKENDS = {"native": "evalscope"}
UNSUPPORTED_BACKENDS = ("opencompass", "vlmevalkit")
_GENERATION = {"max_tokens": "max-tokens", "max_new_tokens": "max-tokens", "temperature": "temperature", "seed": "seed", "n": "samples"}
_EXTRA = {  # settings of EvalScope in ms-swift's --extra_eval_args
    "ignore_errors": "a failed request is retried, then counted as failed, and the evaluation continues",
    "debug": "the log of the run is written to its folder",
    "no_timestamp": "each run has its own folder in --runs",
    "use_cache": "--resume continues an interrupted evaluation",
}
_WITHOUT_EFFECT = {
    "eval-output-dir": "scores are in the run folder; --runs sets its parent folder",
    "verbose": "the progress is always shown",
}


def rewrite(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the command and its arguments for the words after `swift eval`; print a note on each that is read as another.

    Raises:
        UsageError: ms-swift's flags ask for what is not supported.
    """
    rest = list(words)
    if rest and rest[0].startswith(("http://", "https://")):
        rest[:1] = ["--url", rest[0]]
    backend = _take(rest, "eval-backend")
    if backend is not None:
        rest += _evaluator(backend)
    if (text := _take(rest, "eval-generation-config")) is not None:
        rest += _generation(text)
    if (thinking := _take(rest, "enable-thinking")) is not None:
        rest += _thinking(thinking, rest)
    if (text := _take(rest, "extra-eval-args")) is not None:
        _extra(text)
    for name, reason in _WITHOUT_EFFECT.items():
        if _take(rest, name) is not None:
            note(f"--{name.replace('-', '_')} has no effect: {reason}")
    return "eval", rest


def _evaluator(backend: str) -> list[str]:
    if backend.lower() in UNSUPPORTED_BACKENDS:
        hint = "Evaluators are chosen with --evaluator; pip-installed plugins add others."
        raise UsageError(f"the evaluation backend '{backend}' is not supported", code="EVAL-013", where="--eval_backend", hint=hint)
    name = _BACKENDS.get(backend.lower(), backend)
    note(f"--eval_backend {backend} is --evaluator {name} here")
    return ["--evaluator", name]


def _thinking(value: str, words: Sequence[str]) -> list[str]:
    """Translate `--enable_thinking` to a field of EvalScope's requests."""
    if "evalscope" not in words:
        hint = "EvalScope sends it with each request: --evaluator evalscope; others use the model's chat template as it is."
        raise UsageError("is an option of one evaluator", code="EVAL-075", where="--enable_thinking", hint=hint)
    on = value.lower() not in FALSE
    config = json.dumps({"extra_body": {"chat_template_kwargs": {"enable_thinking": on}}})
    note(f"--enable_thinking {str(on).lower()} is --generation-config '{config}' here")
    return ["--generation-config", config]


def _extra(text: str) -> None:
    """Drop the further settings of EvalScope that need no counterpart; refuse the others."""
    for key in _object(text, "--extra_eval_args"):
        if key not in _EXTRA:
            hint = "Settings of a benchmark are --dataset-args, those of requests --generation-config."
            raise UsageError(f"'{key}' is not supported", code="EVAL-076", where="--extra_eval_args", hint=hint)
        note(f"--extra_eval_args {key} has no effect: {_EXTRA[key]}")


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        raise UsageError("not a JSON object", code="EVAL-014", where=where, hint='Write {"max_tokens": 512}.') from None


def _generation(text: str) -> list[str]:
    """Translate ms-swift's JSON of generation parameters."""
    given = _object(text, "--eval_generation_config")
    words = []
    for key, value in given.items():
        if key == "do_sample" and not value:
            words += ["--temperature", "0"]
        elif key in _GENERATION:
            words += [f"--{_GENERATION[key]}", str(value)]
        elif key != "do_sample":
            hint = f"Supported: {', '.join(_GENERATION)}."
            raise UsageError(f"'{key}' is not supported", code="EVAL-015", where="--eval_generation_config", hint=hint)
    note(f"--eval_generation_config is {' '.join(words)} here")
    return words


def _take(words: list[str], name: str) -> str | None:
    """Remove a flag and its value from the words, and return the value; None if it is not there."""
    for index, word in enumerate(words):
        given, equals, value = word.partition("=")
        if given.startswith("--") and given[2:].replace("_", "-") == name:
            if equals:
                del words[index]
                return value
            following = words[index + 1] if index + 1 < len(words) else ""
            has_value = bool(following) and not following.startswith("--")
            del words[index : index + 1 + has_value]
            return following if has_value else ""
    return None
