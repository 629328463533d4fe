"""Checks of a checkpoint before any work starts."""

from __future__ import annotations

import zipfile
from pathlib import Path

from swift_core.contract import UsageError


def check(folder: Path) -> None:
    """Check that there are archives and that each is complete.

    Raises:
        UsageError: an archive is missing or damaged.
    """
    archives = sorted(folder.glob("*.npz"))
    if not archives:
        raise UsageError("there is no .npz archive", where=str(folder), hint="Save the weights with numpy.savez.", code="ACME-001")
    for archive in archives:
        if not zipfile.is_zipfile(archive):
            message = "this is not an .npz archive, or it is truncated"
            raise UsageError(message, where=str(archive), hint="Save it again with numpy.savez.", code="ACME-002")
