"""The serving backend: the command that starts the server."""

from __future__ import annotations

from swift_serve.backend_mixins import NoAdapters
from swift_serve.roles import Command, Serving

from swift_plugin_openvino.options import OpenvinoOptions

KEY_VARIABLE = "SWIFT_API_KEY"


class OpenvinoBackend(NoAdapters):
    """openvino-genai behind swift-http, in a process of its own."""

    def __init__(self, options: OpenvinoOptions) -> None:
        self._options = options

    def command(self, serving: Serving) -> Command:
        """Return the command `python -m swift_plugin_openvino.serving …`, with the Python of the engine's environment.

        Raises:
            UsageError: adapters were requested.
        """
        self.refuse_adapters(serving)
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
