"""The serving backend: the command that starts the server."""

from __future__ import annotations

from pathlib import Path

from swift_core.contract import Command, Server, Serving, UsageError
from swift_plugin_openvino.options import OpenvinoOptions

KEY_VARIABLE = "SWIFT_API_KEY"
_NO_ADAPTERS = "the OpenVINO server does not support adapters"
_MERGE = "Merge the adapter (swift merge) and serve the merged model."


class OpenvinoBackend:
    """openvino-genai behind swift-http, in a process of its own."""

    def __init__(self, options: OpenvinoOptions) -> None:
        self._options = options

    def command(self, serving: Serving) -> Command:
        """Return the command `python -m swift_plugin_openvino.serving …`, with the Python of the engine's environment.

        Raises:
            UsageError: adapters were requested.
        """
        if serving.adapters:
            raise UsageError(_NO_ADAPTERS, code="SERVE-001", where="adapter", hint=_MERGE)
        return Command(
            argv=(
                serving.python,
                "-m",
                "swift_plugin_openvino.serving",
                str(serving.checkpoint),
                *("--host", serving.host, "--port", str(serving.port), "--name", serving.name),
                *("--options", self._options.model_dump_json()),
            ),
            env={KEY_VARIABLE: serving.api_key or ""},
        )

    def add_adapter(self, server: Server, name: str, path: Path) -> None:
        """Reject the adapter: not supported.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{_NO_ADAPTERS}: can't add '{name}'", code="SERVE-002", hint=_MERGE)

    def drop_adapter(self, server: Server, name: str) -> None:
        """Reject the adapter: not supported.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{_NO_ADAPTERS}: can't remove '{name}'", code="SERVE-003", hint=_MERGE)
