"""The quantizer that a tuner implies: QLoRA loads its base model quantized."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.contract import TunerSpec, UsageError

if TYPE_CHECKING:
    from swift_core.runs import Draft


def choose(draft: Draft) -> None:
    """Set the quantizer that the tuner of a run implies, if none is chosen (`VerbSpec.complete`).

    Raises:
        UsageError: that quantizer is not installed.
    """
    tuner = draft.parts.get("tuner")
    implied = draft.known.spec(tuner, TunerSpec).implies if tuner else ""
    if not tuner or not implied or "quantizer" in draft.parts:
        return
    where = draft.settings.where("tuner")
    try:
        draft.parts["quantizer"] = draft.known.default("quantizer", implied, where=where)
    except UsageError as error:
        message = f"the tuner '{tuner.name}' loads the base model quantized, and {error.message}"
        raise UsageError(message, code=error.code, where=where, hint=error.hint) from None
