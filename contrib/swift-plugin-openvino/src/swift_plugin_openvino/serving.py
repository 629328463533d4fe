"""The server: `python -m swift_plugin_openvino.serving CHECKPOINT --name NAME --port PORT`, in the environment that has the engine.

Its API key comes in the variable SWIFT_API_KEY. Where it can't start it says why on stderr, in one line of JSON, and ends with exit
code 2 for a mistake of the user's.
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

from swift_core.contract.errors import SwiftError
from swift_core.options.model import validate
from swift_plugin_openvino.backend import KEY_VARIABLE
from swift_plugin_openvino.model import find_model
from swift_plugin_openvino.options import OpenvinoOptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM; the exit code."""
    given = _parse(arguments)
    key = os.environ.pop(KEY_VARIABLE, "") or None
    try:
        _serve(given, key)
    except SwiftError as error:
        _say(type=type(error).__name__, message=error.message, hint=error.hint, where=error.where)
        return error.exit_code
    except Exception as error:
        logging.exception("the server failed")
        _say(type=type(error).__name__, message=str(error), hint="", where="")
        return 1
    return 0


def _serve(given: argparse.Namespace, key: str | None) -> None:
    options = validate(OpenvinoOptions, json.loads(given.options))
    assert isinstance(options, OpenvinoOptions)
    bound = bind(given.host, given.port)  # before the model is loaded: a port that is taken is said at once
    model = find_model(Path(given.checkpoint))
    from swift_plugin_openvino.engine import OpenvinoEngine

    engine = OpenvinoEngine(model, given.name, options)
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
    parser.add_argument("--port", type=int, default=8000, help="0: any free one")
    parser.add_argument("--name", required=True, help="what clients call the model")
    parser.add_argument("--options", default="{}", help="OpenvinoOptions as JSON")
    return parser.parse_args(arguments)


def _say(**error: Any) -> None:
    sys.stderr.write(json.dumps({"event": "error", **error}, ensure_ascii=False) + "\n")
    sys.stderr.flush()


def _end(_number: int, _frame: Any) -> None:
    sys.exit(0)


if __name__ == "__main__":
    # Being stopped is no failure: not while loading, and not when uvicorn has closed everything and raises the signal again.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    sys.exit(main())
