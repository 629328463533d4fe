"""Build the command line that starts SGLang, and add or remove adapters at run time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from swift_serve import keyed_launch
from swift_serve.backend_mixins import AdapterRoutes, WeightRoute
from swift_serve.base_changes import check_plain_bases
from swift_serve.engine_flags import arguments
from swift_serve.head_tasks import answer_kind
from swift_serve.roles import Command, EngineNode, Serving

from swift_core.contract import UsageError
from swift_plugin_sglang.options import SglangOptions

FLAGS = {
    "tensor_parallel_size": "--tp-size",
    "pipeline_parallel_size": "--pp-size",
    "data_parallel_size": "--dp-size",
    "expert_parallel_size": "--ep-size",
    "dtype": "--dtype",
    "quantization": "--quantization",
    "max_model_len": "--context-length",
    "max_num_seqs": "--max-running-requests",
    "memory_fraction": "--mem-fraction-static",
    "max_total_tokens": "--max-total-tokens",
    "kv_cache_dtype": "--kv-cache-dtype",
    "speculative_method": "--speculative-algorithm",
    "speculative_model": "--speculative-draft-model-path",
    "speculative_tokens": "--speculative-num-draft-tokens",
    "speculative_steps": "--speculative-num-steps",
    "speculative_branches": "--speculative-eagle-topk",
    "chat_template": "--chat-template",
    "tool_call_parser": "--tool-call-parser",
    "reasoning_parser": "--reasoning-parser",
}
LORA_FLAGS = {"max_lora_rank": "--max-lora-rank", "max_loras": "--max-loras-per-batch", "max_cpu_loras": "--max-loaded-loras"}


class SglangBackend(AdapterRoutes, WeightRoute):
    """SGLang's OpenAI-compatible server. It serves adapters as `MODEL:ADAPTER`, and answers any other model name with the base."""

    load_route = "../load_lora_adapter"
    unload_route = "../unload_lora_adapter"

    def __init__(self, options: SglangOptions) -> None:
        self._options = options

    def command(self, serving: Serving) -> Command:
        """Return the command line and environment variables that start the server.

        It runs `sglang.launch_server` through `keyed_launch.py`, which reads the API key from the environment.

        Raises:
            UsageError: adapters are to be loaded at run time, and their maximum rank is unknown.
        """
        options = self._options
        argv = [serving.python, keyed_launch.__file__, "sglang.launch_server", "--api-key"]
        argv += ["--model-path", str(serving.checkpoint), "--served-model-name", serving.name]
        argv += ["--host", serving.host, "--port", str(serving.port), "--enable-metrics"]
        if answer_kind(serving.checkpoint) != "text":
            argv.append("--is-embedding")
        argv += arguments(options, FLAGS)
        if options.enforce_eager:
            argv += ["--cuda-graph-backend-decode", "disabled", "--cuda-graph-backend-prefill", "disabled"]
        if not options.prefix_caching:
            argv.append("--disable-radix-cache")
        if serving.trust_remote_code:
            argv.append("--trust-remote-code")
        if serving.adapters or serving.runtime_adapters:
            argv += self._lora(serving.adapters, at_run_time=serving.runtime_adapters)
        environment = {"HF_HUB_OFFLINE": "1"}
        if serving.api_key:
            environment[keyed_launch.KEY_VARIABLE] = serving.api_key
            argv += ["--log-level", "warning"]  # at level info SGLang logs all its arguments, including the key
        return Command(argv=(*argv, *options.extra), env=environment)

    def node_command(self, serving: Serving, node: EngineNode) -> Command:
        """Return the command of a machine; the ranks above 0 answer no requests."""
        whole = self.command(serving)
        argv = (*whole.argv, "--nnodes", str(node.nodes), "--node-rank", str(node.rank), "--dist-init-addr", f"{node.address}:{node.port}")
        return replace(whole, argv=argv, ready="" if node.rank else whole.ready)

    def _lora(self, adapters: Mapping[str, Path], *, at_run_time: bool) -> list[str]:
        check_plain_bases("SGLang", adapters)
        if at_run_time and not (adapters or self._options.max_lora_rank):
            raise UsageError(
                "SGLang allocates memory for adapters at startup and needs their maximum rank",
                code="SERVE-029",
                where="backend.max_lora_rank",
                hint="Set the highest rank of the adapters that will be loaded: --max-lora-rank 16.",
            )
        argv = ["--enable-lora", *(("--lora-target-modules", "all") if at_run_time else ()), *arguments(self._options, LORA_FLAGS)]
        if adapters:  # as JSON, so that a path may contain any character
            argv += ["--lora-paths", *(_lora_path(alias, path) for alias, path in adapters.items())]
        return argv


def _lora_path(name: str, path: Path) -> str:
    return json.dumps({"lora_name": name, "lora_path": str(path), "pinned": False})
