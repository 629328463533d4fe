"""DeepSpeed itself, for the lane `deepspeed`: in a folder of its own, since other libraries do other things where they find it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from swift_core.system.paths import atomic_folder

SLOW = ("deepspeed.runtime.zero.stage3", "deepspeed.runtime.zero.muon.muon_optimizer", "torch._dynamo")  # paid for once, before any fork
REQUIREMENTS = ("deepspeed==0.19.8", "einops", "hjson", "msgpack", "ninja", "py-cpuinfo")


@pytest.fixture(scope="session")
def deepspeed(kept: Path) -> None:
    """DeepSpeed, importable; installed beside the environment the first time, without torch, and without compiling anything."""
    if importlib.util.find_spec("deepspeed") is None:
        folder = kept / REQUIREMENTS[0]
        if not folder.is_dir():
            with atomic_folder(folder) as aside:
                command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(aside)]
                subprocess.run([*command, *REQUIREMENTS], env={**os.environ, "DS_BUILD_OPS": "0"}, check=True)
        sys.path.append(str(folder))
        os.environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    os.environ["DS_ACCELERATOR"] = "cpu"
    for name in SLOW:
        importlib.import_module(name)
