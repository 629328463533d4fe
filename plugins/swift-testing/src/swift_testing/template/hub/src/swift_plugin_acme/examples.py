"""Example for `swift plugins check`: an archive of the tiny model."""

from __future__ import annotations

import shutil
from pathlib import Path

from swift_testing.kit import Example


def pack(checkpoint: Path, folder: Path) -> None:
    """Write the archive that the reference below names."""
    shutil.make_archive(str(folder / "model"), "zip", checkpoint)


EXAMPLES = {"acme": Example(reference="{folder}/model.zip", checkpoint=pack)}
