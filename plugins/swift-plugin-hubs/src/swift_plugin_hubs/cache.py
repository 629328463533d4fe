"""What was fetched and is kept on this machine: listing and removing it.

Models from the package index, what was converted from them, and data sets lie below `swift_core.system.paths.cache_dir()`, each with
its manifest. Hugging Face's cache is listed too, but it belongs to other programs as well: only an explicit `remove` touches it.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from swift_core.checkpoints import manifest as checkpoint
from swift_core.contract.errors import UsageError, suggestion
from swift_core.system import paths

_OURS = ("hubs", "datasets", "checkpoints")


@dataclass(frozen=True, slots=True)
class Entry:
    """A cached reference, its folder, its size in bytes, and when it was last fetched or read. `shared`: not ours alone."""

    reference: str
    path: Path
    size: int
    last_used: datetime
    shared: bool = False


def entries() -> list[Entry]:
    """Everything in the cache, the longest unused first."""
    found = [
        _entry(path.parent)
        for area in _OURS
        for path in paths.cache_dir(area).rglob(checkpoint.MANIFEST)
        if not path.parent.name.startswith(".")
    ]
    return sorted([*found, *_hugging_face()], key=lambda entry: entry.last_used)


def remove(reference: str) -> list[Entry]:
    """Remove a reference's entries and return them.

    Raises:
        UsageError: it is not in the cache.
    """
    known = entries()
    chosen = [entry for entry in known if entry.reference == reference]
    if not chosen:
        raise UsageError(f"'{reference}' is not in the cache", hint=suggestion(reference, (entry.reference for entry in known)))
    for entry in chosen:
        _delete(entry)
    return chosen


def prune(*, keep: Collection[str] = (), unused_since: datetime | None = None) -> list[Entry]:
    """Remove our own entries except those in `keep` and those used after `unused_since`, and return what was removed."""
    chosen = [
        entry
        for entry in entries()
        if not entry.shared and entry.reference not in keep and (unused_since is None or entry.last_used < unused_since)
    ]
    for entry in chosen:
        _delete(entry)
    return chosen


def _entry(folder: Path) -> Entry:
    manifest = checkpoint.read_manifest(folder)
    used = (folder / checkpoint.MANIFEST).stat().st_mtime
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
    entry.path.rename(aside)  # gone at once for other processes, however long the deleting takes
    shutil.rmtree(aside)
