"""Run `vllm serve` with the arguments of this script: `python serve_command.py --model FOLDER --headless …`.

vLLM's own entry point asks for the version of a distribution `vllm`, which its CPU build does not have. This file is run as a script by the
interpreter of the engine (which may not have swift-core), so it imports only vLLM.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Parse the arguments as vLLM does, and serve."""
    here = str(Path(__file__).parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]  # a script's folder comes first, and its modules would shadow others
    from vllm.entrypoints.cli.serve import cmd_init
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser()
    (command,) = cmd_init()
    command.subparser_init(parser.add_subparsers(dest="subparser", required=True))
    arguments = parser.parse_args([command.name, *sys.argv[1:]])
    command.validate(arguments)
    command.cmd(arguments)


if __name__ == "__main__":
    main()
