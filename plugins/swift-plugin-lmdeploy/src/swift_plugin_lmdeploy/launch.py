"""Starts LMDeploy with the API key that the environment holds.

LMDeploy takes its keys as arguments alone, and every user of a machine can read the arguments of its processes. This file is run as a
script by the interpreter that has LMDeploy (which need not have this plugin), so it imports the standard library alone; it puts the
key where LMDeploy looks, inside the process.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

KEY_VARIABLE = "SWIFT_ENGINE_API_KEY"


def main() -> None:
    """Become `python -m lmdeploy` with this process's arguments, and the key."""
    here = str(Path(__file__).parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]  # a script's folder comes first; its names would hide others
    if key := os.environ.pop(KEY_VARIABLE, ""):
        sys.argv += ["--api-keys", key]
    runpy.run_module("lmdeploy", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
