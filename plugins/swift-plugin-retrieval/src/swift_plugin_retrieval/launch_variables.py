"""ms-swift's environment variables of losses: the options that they are here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from swift_core.contract import Settings, UsageError, VerbSpec
from swift_core.runs import set_option

_TASK = "embedding"
_NAMES: Mapping[str, str] = {
    "INFONCE_TEMPERATURE": "temperature",
    "INFONCE_USE_BATCH": "in_batch_negatives",
    "INFONCE_HARD_NEGATIVES": "negatives",
    "INFONCE_MASK_FAKE_NEGATIVE": "mask_false_negatives",
    "INFONCE_FAKE_NEG_MARGIN": "false_negative_margin",
    "INFONCE_INCLUDE_QQ": "query_negatives",
    "INFONCE_INCLUDE_DD": "document_negatives",
}


def apply(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """Apply the variables to the settings of a run of this task, and yield notes for the user.

    Raises:
        UsageError: a value is neither a number nor true or false.
    """
    if (settings.given("task") or verb.parts.get("task")) not in (_TASK, "embed"):
        return
    for name, path in _NAMES.items():
        if text := environment.get(name, "").strip():
            yield from set_option(settings, path, _value(name, text), f"{name}={text}", known=True)


def _value(name: str, text: str) -> bool | float | int:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if name in ("INFONCE_USE_BATCH", "INFONCE_MASK_FAKE_NEGATIVE", "INFONCE_INCLUDE_QQ", "INFONCE_INCLUDE_DD") and text.lower() in words:
        return words[text.lower()]
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        hint = "Correct it, or unset it and use the option instead."
        raise UsageError(f"must be a number, or true or false, not '{text}'", code="TRAIN-154", where=name, hint=hint) from None
