"""Find the processes that run from an environment."""

from __future__ import annotations

import subprocess
from pathlib import Path


def users(folder: Path) -> list[int]:
    """Return the ids of the processes that run a program of the environment in `folder`; empty if the system has no `ps`."""
    try:
        listed = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, errors="replace", check=False)
    except OSError:
        return []
    programs = f"{folder / 'bin'}/"
    found = (line.split(None, 2) for line in listed.stdout.splitlines())
    return [int(pid) for pid, program, *_ in found if program.startswith(programs)]
