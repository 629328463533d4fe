"""List and remove cached downloads.

Models from the package index, checkpoints converted from them, and datasets are below swift-core's cache folder, each with its manifest.
Hugging Face's cache is listed too, but other programs share it: only an explicit `remove` deletes from it.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from swift_core.checkpoints import MANIFEST, Checkpoint
from swift_core.contract import UsageError, suggestion
from swift_core.system import paths

_OURS = ("hubs", "datasets", "checkpoints")


@dataclass(frozen=True, slots=True)
class Entry:
    """A cached reference: its folder, size in bytes and time of last use; `shared` if other programs use the cache too."""

    reference: str
    path: Path
    size: int
    last_used: datetime
    shared: bool = False


def entries() -> list[Entry]:
    """Return all cache entries, the least recently used first."""
    found = [
        _entry(path.parent) for area in _OURS for path in paths.cache_dir(area).rglob(MANIFEST) if not path.parent.name.startswith(".")
    ]
    return sorted([*found, *_hugging_face()], key=lambda entry: entry.last_used)


def remove(reference: str) -> list[Entry]:
    """Delete all entries of a reference and return them.

    Raises:
        UsageError: the reference is not in the cache.
    """
    known = entries()
    chosen = [entry for entry in known if entry.reference == reference]
    if not chosen:
        raise UsageError(
            f"'{reference}' is not in the cache", code="HUB-013", hint=suggestion(reference, (entry.reference for entry in known))
        )
    for entry in chosen:
        _delete(entry)
    return chosen


def prune(*, keep: Collection[str] = (), unused_since: datetime | None = None) -> list[Entry]:
    """Delete entries of swift-core's own cache and return them.

    Args:
        keep: references to keep.
        unused_since: delete only entries last used before this time.
    """
    chosen = [
        entry
        for entry in entries()
        if not entry.shared and entry.reference not in keep and (unused_since is None or entry.last_used < unused_since)
    ]
    for entry in chosen:
        _delete(entry)
    return chosen


def _entry(folder: Path) -> Entry:
    manifest = Checkpoint.at(folder).manifest
    used = (folder / MANIFEST).stat().st_mtime
    size = paths.size_of(folder)
    return Entry(manifest.origin if manifest else "", folder, size, datetime.fromtimestamp(used))


def _hugging_face() -> list[Entry]:
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    return [
        Entry(
            f"hf:{item.repo_id}@{revision.commit_hash}",
            revision.snapshot_path,
            revision.size_on_disk,
            datetime.fromtimestamp(item.last_accessed),
            True,
        )
        for item in repositories
        for revision in item.revisions
    ]


def _delete(entry: Entry) -> None:
    if entry.shared:
        from huggingface_hub import constants, scan_cache_dir

        scan_cache_dir(constants.HF_HUB_CACHE).delete_revisions(entry.path.name).execute()
        return
    aside = entry.path.with_name(f".{entry.path.name}.removed")
    entry.path.rename(aside)  # invisible to other processes at once, however long deletion takes
    shutil.rmtree(aside)
