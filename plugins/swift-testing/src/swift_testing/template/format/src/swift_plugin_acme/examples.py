"""Example for the conformance checks: a small checkpoint in the format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from swift_testing.kit import Example


def write(tiny_model: Path, folder: Path) -> None:
    """Write a checkpoint into the folder; one in another format could be converted from `tiny_model`."""
    (folder / "config.json").write_text("{}", encoding="utf-8")
    np.savez(folder / "weights.npz", weight=np.ones((2, 2)))


EXAMPLES = {"acme": Example(checkpoint=write)}
