"""Environment variables of a process that runs in another Python environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CLEARED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
"""Variables that would leak this environment's packages into another one."""


def cleared_variables() -> dict[str, str]:
    """Return the variables of this process without those that would leak its packages into another environment."""
    return {name: value for name, value in os.environ.items() if name not in CLEARED}


def interpreter_variables(python: str) -> dict[str, str]:
    """Return the environment variables for a process of `python`, with its environment activated if it is not the running one."""
    if python == sys.executable:
        return dict(os.environ)
    bin_dir = Path(python).parent
    return {**cleared_variables(), "VIRTUAL_ENV": str(bin_dir.parent), "PATH": f"{bin_dir}{os.pathsep}{os.environ.get('PATH', '')}"}
