"""The embedded server as a Backend: the command that starts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swift_serve import client

from swift_core.contract.errors import UsageError
from swift_core.contract.roles import Server, Serving
from swift_core.contract.specs import Command
from swift_plugin_transformers.serve_options import ServeOptions

KEY_VARIABLE = "SWIFT_API_KEY"


class TransformersBackend:
    """The embedded engine behind the OpenAI-compatible layer: nothing to install beside what training needs."""

    def __init__(self, options: ServeOptions | None = None) -> None:
        self._options = options or ServeOptions()

    def command(self, serving: Serving) -> Command:
        """`python -m swift_plugin_transformers.serving …`. It never goes to the network for a model, and runs no code of one.

        Raises:
            UsageError: adapters are to be added while it runs and nothing says from where, or the other way round.
        """
        if serving.runtime_adapters and not self._options.adapter_folder:
            hint = "--adapter-folder runs allows those below runs/."
            raise UsageError("from which folders may adapters be added?", where="adapter_folder", hint=hint)
        if self._options.adapter_folder and not serving.runtime_adapters:
            hint = "Add --runtime-adapters, or leave the folders out."
            raise UsageError("adapters are added from folders while the server runs", where="adapter_folder", hint=hint)
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
                *(("--hash", serving.hash) if serving.hash else ()),
                *(("--allow-other-base",) if serving.allow_other_base else ()),
                *(("--trust-remote-code",) if serving.trust_remote_code else ()),
                "--options",
                self._options.model_dump_json(),
            ),
            env={KEY_VARIABLE: serving.api_key or "", "HF_HUB_OFFLINE": "1"},
        )

    def add_adapter(self, server: Server, name: str, path: Path) -> None:
        """Load an adapter that lies below one of the server's adapter folders; whether it may be of another base, the caller decides.

        Raises:
            UsageError: the server was started without adapter folders, or refuses this one.
            SwiftError: nobody answers, or the server failed.
        """
        body = {"lora_name": name, "lora_path": str(path.resolve()), "allow_other_base": True}
        self._post(server, "load_lora_adapter", body)

    def drop_adapter(self, server: Server, name: str) -> None:
        """Unload an adapter. Errors are those of `add_adapter`."""
        self._post(server, "unload_lora_adapter", {"lora_name": name})

    def _post(self, server: Server, route: str, body: dict[str, Any]) -> None:
        if not self._options.adapter_folder:
            raise UsageError(
                f"the server takes no adapters while it runs, so it can't do this with '{body['lora_name']}'",
                hint="Start it with --runtime-adapters --adapter-folder FOLDER, below which adapters may be loaded.",
            )
        client.command(server.url, route, body, api_key=server.api_key)
