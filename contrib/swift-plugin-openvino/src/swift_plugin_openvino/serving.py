"""The server: `python -m swift_plugin_openvino.serving CHECKPOINT --name NAME --port PORT`, in the engine's environment.

The API key is read from the environment variable SWIFT_API_KEY. If the server can't start, it prints the error to stderr as one line of
JSON; the exit code is 2 for a user error.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swift_http import Limits, bind, create_app, run

from swift_core.contract import SwiftError
from swift_plugin_openvino.backend import KEY_VARIABLE
from swift_plugin_openvino.model import find_model
from swift_plugin_openvino.options import OpenvinoOptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, and return the exit code."""
    parsed = _parse(arguments)
    key = os.environ.pop(KEY_VARIABLE, "") or None
    try:
        _serve(parsed, key)
    except SwiftError as error:
        _print_error(**error.to_json())
        return error.exit_code
    except Exception as error:
        logging.exception("the server failed")
        _print_error(type=type(error).__name__, message=str(error), hint="", where="")
        return 1
    return 0


def _serve(parsed: argparse.Namespace, key: str | None) -> None:
    options = OpenvinoOptions.checked(json.loads(parsed.options))
    assert isinstance(options, OpenvinoOptions)
    bound = bind(parsed.host, parsed.port)  # before loading the model, so that a port in use is reported at once
    model = find_model(Path(parsed.checkpoint))
    from swift_plugin_openvino.engine import OpenvinoEngine

    engine = OpenvinoEngine(model, parsed.name, options)
    try:
        limits = Limits(max_requests=options.queue, timeout=options.timeout)
        run(create_app(engine, api_key=key, limits=limits, origins=options.cors_origin), bound)
    finally:
        engine.close()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="swift_plugin_openvino.serving", description="Serve a checkpoint with OpenVINO, OpenAI-compatible."
    )
    parser.add_argument("checkpoint")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 chooses a free one")
    parser.add_argument("--name", required=True, help="name of the model for clients")
    parser.add_argument("--options", default="{}", help="OpenvinoOptions as JSON")
    return parser.parse_args(arguments)


def _print_error(**error: Any) -> None:
    sys.stderr.write(json.dumps({"event": "error", **error}, ensure_ascii=False) + "\n")
    sys.stderr.flush()


def _exit(_number: int, _frame: Any) -> None:
    sys.exit(0)


if __name__ == "__main__":
    # A stop is not a failure, neither during loading nor when uvicorn raises the signal again after its shutdown.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    sys.exit(main())
