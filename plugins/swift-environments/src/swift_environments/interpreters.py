"""Choose the Python that an environment is created with: the running one if it fits, else another on this machine."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from swift_core.contract import UsageError
from swift_environments.variables import cleared_variables

MINORS = range(11, 20)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python interpreter: its path and its version."""

    path: Path
    version: str


def choose(specifier: str, asked: Path | None = None) -> Interpreter:
    """Choose a Python that matches `specifier`.

    Args:
        specifier: a version specifier (PEP 440).
        asked: the interpreter that the user chose.

    Raises:
        UsageError: the chosen interpreter does not run or match, or no match was found.
    """
    from packaging.specifiers import SpecifierSet

    fits = SpecifierSet(specifier)
    if asked is not None:
        found = look_at(asked)
        if found is None:
            raise UsageError(
                f"'{asked}' is not a working Python", code="ENV-018", where="--python", hint="Name an interpreter: /usr/bin/python3.12."
            )
        if found.version not in fits:
            message = f"'{asked}' is Python {found.version}, but {specifier} is required"
            raise UsageError(message, code="ENV-019", where="--python", hint="Name another interpreter.")
        return found
    if platform.python_version() in fits:
        return Interpreter(Path(sys.executable), platform.python_version())
    for minor in MINORS:  # the oldest that fits, since packages are most likely to have wheels for it
        place = shutil.which(f"python3.{minor}")
        found = look_at(Path(place)) if place else None
        if found and found.version in fits:
            return found
    if found := _of_uv(specifier):
        return found
    suitable = next((f"3.{minor}" for minor in MINORS if f"3.{minor}.99" in fits), specifier)
    raise UsageError(
        f"Python {specifier} is required, but none was found on this machine (running: {platform.python_version()})",
        code="ENV-020",
        hint=f"Install Python {suitable} (with uv: uv python install {suitable}), or name one with --python PATH.",
    )


def look_at(path: Path) -> Interpreter | None:
    """Return the interpreter at `path`; None if it is not a working Python."""
    code = "import json, platform; print(json.dumps(platform.python_version()))"
    try:
        done = subprocess.run([path, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True, env=cleared_variables())
        return Interpreter(path.absolute(), str(json.loads(done.stdout)))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _of_uv(specifier: str) -> Interpreter | None:
    uv = shutil.which("uv")
    if uv is None:
        return None
    command = [uv, "python", "find", "--no-project", "--no-python-downloads", specifier]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=cleared_variables())
    return look_at(Path(done.stdout.strip())) if done.returncode == 0 else None
