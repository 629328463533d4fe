"""Adapter lineage: check that an adapter was trained on a given base model.

The adapter's manifest records the hash of the weights that it was trained on. An adapter without one is checked by its format.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from swift_core.checkpoints.checkpoint import Checkpoint
from swift_core.contract import Source, UsageError

_HINT = "Use the base that it was trained on, or add --allow-other-base if you know that they are compatible."


def check_base(folder: Path, base: Source, note: Callable[[str], None] = lambda _: None) -> None:
    """Check that `base` is the model that the adapter in `folder` was trained on.

    Args:
        folder: the adapter checkpoint.
        base: the base model that it is to be used with.
        note: called with a sentence on what can't be verified.

    Raises:
        UsageError: the adapter was trained on other weights, or with another vocabulary.
    """
    adapter = Checkpoint.at(folder)
    manifest = adapter.manifest
    if manifest and (expected := manifest.base.get("hash", "")):
        if expected != (found := base.hash or Checkpoint.at(base.path).hash()):
            named = manifest.base.get("reference") or manifest.base.get("path") or "another checkpoint"
            raise base_mismatch(folder, base, f"{named} ({expected[:12]}…)", f" ({found[:12]}…)")
    elif check := adapter.spec.check_base:
        check.load()(folder, base, note)


def base_mismatch(folder: Path, base: Source, trained_on: str, detail: str = "") -> UsageError:
    """Return the error for an adapter that was trained on another model than `base`."""
    message = f"the adapter was trained on {trained_on}, but the base is {base.reference or base.path}{detail}"
    return UsageError(message, code="CKPT-039", where=str(folder), hint=_HINT)
