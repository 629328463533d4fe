"""megatron-core itself, for the lane `megatron`: in a folder of its own, since other libraries do other things where they find it."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from swift_core.system.paths import atomic_folder

REQUIREMENTS = ("megatron-core==0.19.2", "triton>=3")  # it imports triton, whatever it computes on


@pytest.fixture(scope="session")
def megatron(kept: Path) -> None:
    """megatron-core, importable; installed beside the environment the first time, on a Python too that it does not declare."""
    if importlib.util.find_spec("megatron") is None:
        folder = kept / REQUIREMENTS[0]
        if not folder.is_dir():
            with atomic_folder(folder) as aside:
                command = [
                    sys.executable,
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--no-deps",
                    "--ignore-requires-python",
                    "--target",
                    str(aside),
                ]
                subprocess.run([*command, *REQUIREMENTS], check=True)
        sys.path.append(str(folder))
    importlib.import_module("swift_plugin_megatron.strategy")  # paid for once, before any fork
