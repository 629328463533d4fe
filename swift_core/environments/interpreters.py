"""The Python that an environment is made with: the running one where it fits, else another that this machine has."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from swift_core.errors import UsageError

MINORS = range(11, 20)
CLEARED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
"""What would bring this environment's packages into another one."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python: where it is, and its version."""

    path: Path
    version: str


def outside() -> dict[str, str]:
    """The variables for a process that belongs to another environment."""
    return {name: value for name, value in os.environ.items() if name not in CLEARED}


def variables(python: str) -> dict[str, str]:
    """The variables for a process of `python`: those of this one, or of the environment that it is in, whose commands are found first."""
    if python == sys.executable:
        return dict(os.environ)
    bin_dir = Path(python).parent
    return {**outside(), "VIRTUAL_ENV": str(bin_dir.parent), "PATH": f"{bin_dir}{os.pathsep}{os.environ.get('PATH', '')}"}


def choose(specifier: str, asked: Path | None = None) -> Interpreter:
    """A Python that `specifier` allows.

    Raises:
        UsageError: the one that was asked for is none or does not fit, or none was found.
    """
    from packaging.specifiers import SpecifierSet

    fits = SpecifierSet(specifier)
    if asked is not None:
        found = look_at(asked)
        if found is None:
            raise UsageError(f"'{asked}' is no Python that runs", where="--python", hint="Name the interpreter: /usr/bin/python3.12.")
        if found.version not in fits:
            raise UsageError(f"'{asked}' is Python {found.version}, and {specifier} is needed", where="--python", hint="Name another one.")
        return found
    if platform.python_version() in fits:
        return Interpreter(Path(sys.executable), platform.python_version())
    for minor in MINORS:  # the oldest that fits: packages have wheels for it
        place = shutil.which(f"python3.{minor}")
        found = look_at(Path(place)) if place else None
        if found and found.version in fits:
            return found
    if found := _of_uv(specifier):
        return found
    wish = next((f"3.{minor}" for minor in MINORS if f"3.{minor}.99" in fits), specifier)
    raise UsageError(
        f"Python {specifier} is needed, and this machine has none that was found (this is {platform.python_version()})",
        hint=f"Install Python {wish} (with uv: uv python install {wish}), or name one with --python PATH.",
    )


def look_at(path: Path) -> Interpreter | None:
    """The Python at `path`, or None if it is none or does not run."""
    code = "import json, platform; print(json.dumps(platform.python_version()))"
    try:
        done = subprocess.run([path, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True, env=outside())
        return Interpreter(path.absolute(), str(json.loads(done.stdout)))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _of_uv(specifier: str) -> Interpreter | None:
    uv = shutil.which("uv")
    if uv is None:
        return None
    command = [uv, "python", "find", "--no-project", "--no-python-downloads", specifier]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=outside())
    return look_at(Path(done.stdout.strip())) if done.returncode == 0 else None
