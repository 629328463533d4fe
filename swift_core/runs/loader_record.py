"""Find the loader that a checkpoint was made with: what a plugin's own loader has loaded is loaded by it again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from swift_core.checkpoints import Checkpoint
from swift_core.runs.provenance import maker_of

if TYPE_CHECKING:
    from swift_core.contract import Choice, Source
    from swift_core.plugins import Registry


def recorded_loader(sources: Iterable[Source], known: Registry) -> Choice | None:
    """The loader that the first of the checkpoints with such a record was made with; None, if none has one.

    Raises:
        UsageError: no installed plugin offers it.
    """
    manifests = (Checkpoint.at(source.path).manifest for source in sources)
    manifest = next((manifest for manifest in manifests if manifest and manifest.loader), None)
    return maker_of(known, "loader", manifest) if manifest else None


def loader_record_of(loader: Choice | None) -> dict[str, Any]:
    """What a manifest keeps of a loader."""
    return {"name": loader.name, "plugin": loader.plugin, "options": dict(loader.options)} if loader else {}
