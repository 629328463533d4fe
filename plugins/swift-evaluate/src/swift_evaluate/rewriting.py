"""Command lines of `swift eval` that mean something else: a URL in the place of the checkpoint, and ms-swift's flags."""

from __future__ import annotations

import json
from collections.abc import Sequence

from swift_core.cli import note
from swift_core.contract import UsageError

_BACKENDS = {"native": "evalscope"}
_UNSUPPORTED = ("opencompass", "vlmevalkit")
_GENERATION = {"max_tokens": "max-tokens", "max_new_tokens": "max-tokens", "temperature": "temperature", "seed": "seed", "n": "samples"}
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
    for name, reason in _WITHOUT_EFFECT.items():
        if _take(rest, name) is not None:
            note(f"--{name.replace('-', '_')} has no effect: {reason}")
    return "eval", rest


def _evaluator(backend: str) -> list[str]:
    if backend.lower() in _UNSUPPORTED:
        hint = "Evaluators are chosen with --evaluator; pip-installed plugins add others."
        raise UsageError(f"the evaluation backend '{backend}' is not supported", code="EVAL-013", where="--eval_backend", hint=hint)
    name = _BACKENDS.get(backend.lower(), backend)
    note(f"--eval_backend {backend} is --evaluator {name} here")
    return ["--evaluator", name]


def _generation(text: str) -> list[str]:
    """Translate ms-swift's JSON of generation parameters."""
    try:
        given = dict(json.loads(text))
    except (ValueError, TypeError):
        raise UsageError(
            "not a JSON object", code="EVAL-014", where="--eval_generation_config", hint='Write {"max_tokens": 512}.'
        ) from None
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
