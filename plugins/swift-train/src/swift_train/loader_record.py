"""The loader of a run as a manifest records it."""

from __future__ import annotations

from typing import Any

from swift_core.contract import Choice


def loader_record_of(loader: Choice | None) -> dict[str, Any]:
    """Return what a manifest keeps of a loader; {} for none."""
    return {"name": loader.name, "plugin": loader.plugin, "options": dict(loader.options)} if loader else {}
