"""The command that starts the server, and what it can't do."""

from __future__ import annotations

from pathlib import Path

from swift_core.contract.errors import UsageError
from swift_core.contract.roles import Server, Serving
from swift_core.contract.specs import Command
from swift_plugin_openvino.options import OpenvinoOptions

KEY_VARIABLE = "SWIFT_API_KEY"
_WHY = "the OpenVINO server serves no adapters"
_INSTEAD = "Merge it, and serve the merged model: swift merge."


class OpenvinoBackend:
    """openvino-genai behind swift-http, in a process of its own."""

    def __init__(self, options: OpenvinoOptions) -> None:
        self._options = options

    def command(self, serving: Serving) -> Command:
        """`python -m swift_plugin_openvino.serving …`, with the Python that has the engine.

        Raises:
            UsageError: adapters are asked for.
        """
        if serving.adapters:
            raise UsageError(_WHY, where="adapter", hint=_INSTEAD)
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
        """Refused.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{_WHY}, so it can't add '{name}'", hint=_INSTEAD)

    def drop_adapter(self, server: Server, name: str) -> None:
        """Refused.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{_WHY}, so it has no '{name}' to drop", hint=_INSTEAD)
