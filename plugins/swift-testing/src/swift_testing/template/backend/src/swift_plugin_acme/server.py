"""The server process: `python -m swift_plugin_acme.server CHECKPOINT --name NAME --port PORT`."""

from __future__ import annotations

import argparse
import os
import sys

from swift_http import bind, create_app, run

from swift_core.contract import SwiftError
from swift_plugin_acme.backend import KEY_VARIABLE


def main() -> int:
    """Serve until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint")
    parser.add_argument("--name", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--context", type=int, default=2048)
    given = parser.parse_args()
    key = os.environ.pop(KEY_VARIABLE, "") or None
    try:
        bound = bind(given.host, given.port)  # before the model is loaded, so that a port in use is reported at once
        from swift_plugin_acme.engine import AcmeEngine

        run(create_app(AcmeEngine(given.checkpoint, given.name, given.context), api_key=key), bound)
    except SwiftError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
