"""The tuner of a merge, and the quantizer of its base, from the adapter's manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.checkpoints import Checkpoint
from swift_core.contract import TunerSpec, UsageError
from swift_core.runs import provenance

if TYPE_CHECKING:
    from swift_core.runs import Draft

_PEFT = "lora"  # the tuner that reads the files of all kinds of PEFT adapters


def choose_tuner(draft: Draft) -> None:
    """Set the tuner that trained the adapter, by its manifest, and the quantizer of its base, if it had one.

    A plain PEFT folder is read as LoRA. The worker of the merge loads the plugins of its parts alone.

    Raises:
        UsageError: there is no adapter, or its checkpoint is a whole model already.
    """
    if not draft.adapters:
        hint = "Name an adapter checkpoint, or --model BASE --adapter FOLDER."
        raise UsageError("there is no adapter to merge", code="CONVERT-019", where="model", hint=hint)
    manifest = Checkpoint.at(Path(next(iter(draft.adapters.values())).path)).manifest
    choice = provenance.maker_of(draft.known, "tuner", manifest, _PEFT)
    spec = draft.known.spec(choice, TunerSpec)
    if spec.merger is None:
        hint = "Its checkpoint is a whole model already."
        raise UsageError(f"the tuner '{spec.name}' has nothing to merge", code="CONVERT-020", where="tuner", hint=hint)
    draft.parts["tuner"] = choice
    if manifest and manifest.quantizer:
        draft.parts["quantizer"] = provenance.maker_of(draft.known, "quantizer", manifest)
