"""Data sets of ModelScope: the repository's data files, through the modelscope package and its cache; no code of it is downloaded."""

from __future__ import annotations

from pathlib import Path

from swift_hub.modelscope_errors import explained

from swift_core.contract import Reference
from swift_core.system import network

_NO_DATA = ["*.py", "*.pkl", "*.pickle", "*.pt", "*.bin", "*.sh"]


def folder(reference: Reference) -> Path:
    """Download a data set and return its folder in ModelScope's cache.

    Raises:
        UsageError: modelscope is missing, no such data set, access denied, or offline and not cached.
        SwiftError: the network failed.
    """
    with explained(reference):
        from modelscope.hub.snapshot_download import snapshot_download

        found = snapshot_download(
            reference.name,
            revision=reference.revision or None,
            repo_type="dataset",
            local_files_only=network.offline(),
            ignore_patterns=_NO_DATA,
        )
    return Path(found)
