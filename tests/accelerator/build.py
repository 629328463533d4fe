"""Compile the device, and lay the folder that makes `import torch` load it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from swift_core.system import atomic_folder

HERE = Path(__file__).parent
NAME = "swift_sim"
MODULES = {"module.py": "__init__.py", "collectives.py": "collectives.py"}
_COMPILE = """
import sys
from torch.utils.cpp_extension import load
load("_compiled", [sys.argv[1]], extra_cflags=["-O1"], build_directory=sys.argv[2], is_python_module=False)
"""


def built(cache: Path) -> Path:
    """Return a folder for PYTHONPATH with the device as a distribution; compiled once for each source and torch, in about a minute."""
    import hashlib

    import torch

    source = HERE / "device.cpp"
    digest = hashlib.sha256(source.read_bytes() + (torch.__version__ + _COMPILE).encode()).hexdigest()[:16]
    library = cache / f"accelerator-{digest}"
    if not library.is_dir():
        with atomic_folder(library) as aside:  # by another process, since it loads what it compiled
            subprocess.run([sys.executable, "-c", _COMPILE, str(source), str(aside)], check=True)
    return library


def laid(library: Path, folder: Path) -> Path:
    """Lay the compiled device, its modules and its entry point into a folder, and return it."""
    package, info = folder / NAME, folder / f"{NAME}-0.dist-info"
    package.mkdir(parents=True, exist_ok=True)
    info.mkdir(exist_ok=True)
    shutil.copy(library / "_compiled.so", package / "_compiled.so")
    for source, target in MODULES.items():
        shutil.copy(HERE / source, package / target)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[torch.backends]\n{NAME} = {NAME}:load\n", encoding="utf-8")
    return folder
