"""Starts SGLang with the API key that the environment holds.

SGLang takes its key as an argument alone, and every user of a machine can read the arguments of its processes. This file is run as a
script by the interpreter that has SGLang (which need not have this plugin), so it imports the standard library alone; it puts the key
where SGLang looks, inside the process.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

KEY_VARIABLE = "SWIFT_ENGINE_API_KEY"


def main() -> None:
    """Become `python -m sglang.launch_server` with this process's arguments, and the key."""
    here = str(Path(__file__).parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]  # a script's folder comes first; its names would hide others
    if key := os.environ.pop(KEY_VARIABLE, ""):
        sys.argv += ["--api-key", key]
    runpy.run_module("sglang.launch_server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
