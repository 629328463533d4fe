"""Start an engine's module with the API key of an environment variable: `python keyed_launch.py MODULE FLAG ARGUMENTS…`.

Some engines accept their key only as an argument, and all users of a machine can read the arguments of its processes. This file is run
as a script by the interpreter of the engine (which may not have swift-core), so it imports only the standard library; it adds the key to
`sys.argv` inside the process.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

KEY_VARIABLE = "SWIFT_ENGINE_API_KEY"


def main() -> None:
    """Run `python -m MODULE` in this process with the arguments, and the key after its flag."""
    here = str(Path(__file__).parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]  # a script's folder comes first, and its modules would shadow others
    module, flag = sys.argv[1:3]
    del sys.argv[1:3]
    if key := os.environ.pop(KEY_VARIABLE, ""):
        sys.argv += [flag, key]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
