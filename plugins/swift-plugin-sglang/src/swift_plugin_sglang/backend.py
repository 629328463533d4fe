"""The command line that starts SGLang, and adapters while it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from swift_core.errors import SwiftError, UsageError
from swift_core.roles import Server, Serving
from swift_core.specs import Command
from swift_plugin_sglang import launch
from swift_plugin_sglang.options import SglangOptions
from swift_plugin_sglang.runtime import log_probabilities, post

FLAGS = {
    "tensor_parallel_size": "--tp-size",
    "pipeline_parallel_size": "--pp-size",
    "data_parallel_size": "--dp-size",
    "dtype": "--dtype",
    "quantization": "--quantization",
    "max_model_len": "--context-length",
    "max_num_seqs": "--max-running-requests",
    "memory_fraction": "--mem-fraction-static",
    "kv_cache_dtype": "--kv-cache-dtype",
    "chat_template": "--chat-template",
    "tool_call_parser": "--tool-call-parser",
    "reasoning_parser": "--reasoning-parser",
}


class SglangBackend:
    """SGLang's OpenAI-compatible server. It answers adapters as `MODEL:ADAPTER`, and anything else with the base."""

    def __init__(self, options: SglangOptions) -> None:
        self._options = options

    def command(self, serving: Serving) -> Command:
        """`sglang.launch_server`, through `launch.py`, which takes the key from the environment.

        Raises:
            UsageError: adapters are to be loaded later, and nothing says of what rank.
        """
        options = self._options
        argv = [serving.python, str(Path(launch.__file__)), "--model-path", str(serving.checkpoint), "--served-model-name", serving.name]
        argv += ["--host", serving.host, "--port", str(serving.port)]
        for field, flag in FLAGS.items():
            value = getattr(options, field)
            if value not in (None, ""):
                argv += [flag, str(value)]
        if options.enforce_eager:
            argv += ["--cuda-graph-backend-decode", "disabled", "--cuda-graph-backend-prefill", "disabled"]
        if not options.prefix_caching:
            argv.append("--disable-radix-cache")
        if serving.trust_remote_code:
            argv.append("--trust-remote-code")
        if serving.adapters or options.runtime_adapters:
            argv += self._lora(serving.adapters)
        environment = {"HF_HUB_OFFLINE": "1"}
        if serving.api_key:
            environment[launch.KEY_VARIABLE] = serving.api_key
            argv += ["--log-level", "warning"]  # at 'info' SGLang writes all its arguments, the key among them, into its log
        return Command(argv=(*argv, *options.extra), env=environment)

    def _lora(self, adapters: Mapping[str, Path]) -> list[str]:
        options = self._options
        argv = ["--enable-lora"]
        if options.runtime_adapters:
            if not (adapters or options.max_lora_rank):
                raise UsageError(
                    "SGLang makes room for adapters when it starts",
                    where="backend.max_lora_rank",
                    hint="Say the highest rank that will come: --max-lora-rank 16.",
                )
            argv += ["--lora-target-modules", "all"]
        if options.max_lora_rank:
            argv += ["--max-lora-rank", str(options.max_lora_rank)]
        if options.max_loras:
            argv += ["--max-loras-per-batch", str(options.max_loras)]
        if adapters:  # as JSON, so that a path may have any character
            argv += ["--lora-paths", *(_lora_path(alias, path) for alias, path in adapters.items())]
        return argv

    def add_adapter(self, server: Server, name: str, path: Path) -> None:
        """Load an adapter from a folder that the server can read, and see that its answers differ from the base's.

        Clients ask for it as `MODEL:NAME`.

        Raises:
            UsageError: the server refuses it; its rank or layers may be more than the server was started for.
            SwiftError: nobody answers, or the adapter changes nothing (then it is dropped again).
        """
        base = server.models[0]
        post(server, "/load_lora_adapter", {"lora_name": name, "lora_path": str(path.resolve())})
        if log_probabilities(server, f"{base}:{name}") == log_probabilities(server, base):
            self.drop_adapter(server, name)
            raise SwiftError(f"'{name}' changes no answer, so it was dropped", where=str(path), hint="Was it trained, and on this base?")

    def drop_adapter(self, server: Server, name: str) -> None:
        """Unload an adapter. Errors are those of `add_adapter`."""
        post(server, "/unload_lora_adapter", {"lora_name": name})


def _lora_path(name: str, path: Path) -> str:
    return json.dumps({"lora_name": name, "lora_path": str(path), "pinned": False})
