"""The tuner, quantizer or loader of a run as a manifest records it."""

from __future__ import annotations

from swift_core.checkpoints import MakerRecord
from swift_core.contract import Choice


def maker_record(choice: Choice | None) -> MakerRecord:
    """Return what a manifest keeps of a choice; {} for none."""
    return {"name": choice.name, "plugin": choice.plugin, "options": dict(choice.options)} if choice else {}
