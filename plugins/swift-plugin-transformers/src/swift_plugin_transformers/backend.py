"""Backend `transformers`: the command that starts the embedded server, and its runtime adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swift_serve.backend_mixins import WeightRoute
from swift_serve.client import Client
from swift_serve.roles import Command, Serving

from swift_core.contract import Server, UsageError
from swift_plugin_transformers.serve_options import ServeOptions

KEY_VARIABLE = "SWIFT_API_KEY"


def check_speculation(options: ServeOptions) -> None:
    """Check the options of speculative decoding.

    Raises:
        UsageError: there is a draft model without a number of drafts, or it is not a folder.
    """
    if options.draft_model and not options.speculative_tokens:
        raise UsageError(
            "--draft-model has no effect without --speculative-tokens",
            code="MODEL-061",
            where="draft_model",
            hint="Add --speculative-tokens.",
        )
    if options.draft_model and not Path(options.draft_model).is_dir():
        hint = "Name the folder of a checkpoint; swift fetch downloads one."
        raise UsageError(f"there is no folder '{options.draft_model}'", code="MODEL-062", where="draft_model", hint=hint)


class TransformersBackend(WeightRoute):
    """The embedded server: needs no package that training does not need."""

    def __init__(self, options: ServeOptions | None = None) -> None:
        self._options = options or ServeOptions()

    def command(self, serving: Serving) -> Command:
        """Return the command `python -m swift_plugin_transformers.serving …`. The server downloads nothing.

        Raises:
            UsageError: folders are set, and adapters and weights may not be changed, or the other way round; or speculative decoding is
                set up incompletely.
        """
        check_speculation(self._options)
        changes = serving.runtime_adapters or serving.runtime_weights
        if changes and not self._options.adapter_folder:
            hint = "Name the folders, for example --adapter-folder runs."
            message = "--runtime-adapters and --runtime-weights require folders from which they may be loaded"
            raise UsageError(message, code="MODEL-003", where="adapter_folder", hint=hint)
        if self._options.adapter_folder and not changes:
            hint = "Add --runtime-adapters or --runtime-weights, or remove --adapter-folder."
            message = "--adapter-folder requires --runtime-adapters or --runtime-weights"
            raise UsageError(message, code="MODEL-004", where="adapter_folder", hint=hint)
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
                *(("--runtime-adapters",) if serving.runtime_adapters else ()),
                *(("--runtime-weights",) if serving.runtime_weights else ()),
                *(("--trust-remote-code",) if serving.trust_remote_code else ()),
                "--options",
                self._options.model_dump_json(),
            ),
            env={KEY_VARIABLE: serving.api_key or "", "HF_HUB_OFFLINE": "1"},
        )

    def add_adapter(self, server: Server, name: str, path: Path) -> None:
        """Load an adapter from below one of the server's adapter folders. The caller checks that it fits the base model.

        Raises:
            UsageError: the server was started without adapter folders, or rejects this one.
            SwiftError: the server does not respond or failed.
        """
        body = {"lora_name": name, "lora_path": str(path.resolve()), "allow_other_base": True}
        self._post(server, "load_lora_adapter", body)

    def drop_adapter(self, server: Server, name: str) -> None:
        """Unload an adapter.

        Raises:
            UsageError: the server was started without adapter folders, or the adapter is unknown or in use.
            SwiftError: the server does not respond or failed.
        """
        self._post(server, "unload_lora_adapter", {"lora_name": name})

    def _post(self, server: Server, route: str, body: dict[str, Any]) -> None:
        if not self._options.adapter_folder:
            raise UsageError(
                f"can't change the adapter '{body['lora_name']}': the server was started without runtime adapters",
                code="MODEL-005",
                hint="Start it with --runtime-adapters --adapter-folder FOLDER.",
            )
        Client(server).command(route, body)
