"""Whether an adapter belongs on a base: its manifest keeps the hash of the weights that it was trained on."""

from __future__ import annotations

from pathlib import Path

from swift_core.checkpoint import read_manifest
from swift_core.errors import UsageError
from swift_core.run import Source


def check_base(folder: Path, base: Source) -> None:
    """Check that `base` is what the adapter was trained on; an adapter without a manifest can't tell.

    Raises:
        UsageError: it was trained on other weights.
    """
    manifest = read_manifest(folder)
    wanted = manifest.base.get("hash", "") if manifest else ""
    if manifest and wanted and base.hash and wanted != base.hash:
        named = manifest.base.get("reference") or manifest.base.get("path") or "another checkpoint"
        raise UsageError(
            f"the adapter was trained on {named} ({wanted[:12]}…), and this base is {base.reference or base.path} ({base.hash[:12]}…)",
            where=str(folder),
            hint="Name the base that it was trained on, or add --allow-other-base if you know that they fit.",
        )
