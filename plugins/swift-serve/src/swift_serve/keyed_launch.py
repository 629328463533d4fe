"""Starts an engine's module with the API key that the environment holds: `python keyed_launch.py MODULE FLAG ARGUMENTS…`.

Some engines take their key as an argument alone, and every user of a machine can read the arguments of its processes. This file is run
as a script by the interpreter that has the engine (which need not have swift-core), so it imports the standard library alone; it puts
the key where the engine looks, inside the process.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

KEY_VARIABLE = "SWIFT_ENGINE_API_KEY"


def main() -> None:
    """Become `python -m MODULE` with the arguments, and the key behind its flag."""
    here = str(Path(__file__).parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]  # a script's folder comes first; its names would hide others
    module, flag = sys.argv[1:3]
    del sys.argv[1:3]
    if key := os.environ.pop(KEY_VARIABLE, ""):
        sys.argv += [flag, key]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
