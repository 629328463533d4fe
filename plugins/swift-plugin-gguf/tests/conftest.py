"""llama.cpp's server for the lane `export`: xllamacpp, installed into a folder of its own rather than into the environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from swift_core.system.paths import atomic_folder

REQUIREMENT = "xllamacpp==2026.10.11549"


@pytest.fixture(scope="session")
def xllamacpp(kept: Path) -> Path:
    """The folder with xllamacpp, for PYTHONPATH; installed on first use (34 MB)."""
    folder = kept / REQUIREMENT
    if not folder.is_dir():
        with atomic_folder(folder) as aside:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target", str(aside)]
            subprocess.run([*command, REQUIREMENT], check=True)
    return folder
