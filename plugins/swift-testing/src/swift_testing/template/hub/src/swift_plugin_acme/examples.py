"""What `swift plugins check` asks the hub for: an archive of its tiny model."""

from __future__ import annotations

import shutil
from pathlib import Path

from swift_testing.kit import Example


def pack(checkpoint: Path, folder: Path) -> None:
    """Put the checkpoint where the reference below leads."""
    shutil.make_archive(str(folder / "model"), "zip", checkpoint)


EXAMPLES = {"acme": Example(reference="{folder}/model.zip", checkpoint=pack)}
