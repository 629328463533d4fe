"""The embedded server as a Backend: the command that starts it."""

from __future__ import annotations

from pathlib import Path

from swift_core.errors import UsageError
from swift_core.roles import Server, Serving
from swift_core.specs import Command
from swift_plugin_transformers.serve_options import ServeOptions

KEY_VARIABLE = "SWIFT_API_KEY"


class TransformersBackend:
    """transformers' own `generate` behind the OpenAI-compatible layer: nothing to install beside what training needs."""

    def __init__(self, options: ServeOptions | None = None) -> None:
        self._options = options or ServeOptions()

    def command(self, serving: Serving) -> Command:
        """`python -m swift_plugin_transformers.serving …`. It never goes to the network for a model, and runs no code of one."""
        named = [argument for alias, path in serving.adapters.items() for argument in ("--adapter", f"{alias}={path}")]
        place = ("--host", serving.host, "--port", str(serving.port), "--name", serving.name)
        return Command(
            argv=(
                serving.python,
                "-m",
                "swift_plugin_transformers.serving",
                str(serving.checkpoint),
                *place,
                *named,
                *(("--trust-remote-code",) if serving.trust_remote_code else ()),
                "--options",
                self._options.model_dump_json(),
            ),
            env={KEY_VARIABLE: serving.api_key or "", "HF_HUB_OFFLINE": "1"},
        )

    def add_adapter(self, server: Server, name: str, path: Path) -> None:
        """Refused: the adapters are loaded with the model.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"the embedded server takes its adapters when it starts, so it can't add '{name}'", hint="Start it again with that adapter too."
        )

    def drop_adapter(self, server: Server, name: str) -> None:
        """Refused, as `add_adapter` is.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"the embedded server keeps its adapters, so it can't drop '{name}'", hint="Start it again without that adapter.")
