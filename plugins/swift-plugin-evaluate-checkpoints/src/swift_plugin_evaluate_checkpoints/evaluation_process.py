"""The process of an evaluation: `python -m swift_plugin_evaluate_checkpoints.evaluation_process SETTINGS.json`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from swift_core.contract import Settings, SwiftError
from swift_core.plugins import local, verb_named
from swift_core.runs import Context, carry_out, resolve

_NICE = 10  # on shared processors, the training goes first


def main() -> int:
    """Evaluate; the run folder has the scores, or the error."""
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with suppress(OSError):
        os.nice(_NICE)
    try:
        local.use_local_plugins(asked["plugins"], where=sys.argv[1])
        run = resolve(verb_named("eval"), Settings(asked["settings"], {})).run
        folder = Path(asked["folder"])
        carry_out(run, Context(runs=folder.parent, folder=folder))
    except SwiftError as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
