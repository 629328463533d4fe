"""Build the command line that starts vLLM, and add or remove adapters at run time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from swift_serve.backend_mixins import AdapterRoutes, DevelopmentWeightRoutes
from swift_serve.base_changes import check_plain_bases
from swift_serve.engine_flags import arguments
from swift_serve.roles import Command, EngineNode, Serving

from swift_core.contract import UsageError
from swift_plugin_vllm import serve_command
from swift_plugin_vllm.heads import head_arguments
from swift_plugin_vllm.options import VllmOptions

FLAGS = {
    "tensor_parallel_size": "--tensor-parallel-size",
    "pipeline_parallel_size": "--pipeline-parallel-size",
    "data_parallel_size": "--data-parallel-size",
    "expert_parallel": "--enable-expert-parallel",
    "dtype": "--dtype",
    "quantization": "--quantization",
    "max_model_len": "--max-model-len",
    "max_num_seqs": "--max-num-seqs",
    "max_num_batched_tokens": "--max-num-batched-tokens",
    "gpu_memory_utilization": "--gpu-memory-utilization",
    "cpu_offload_gib": "--cpu-offload-gb",
    "kv_cache_dtype": "--kv-cache-dtype",
    "enforce_eager": "--enforce-eager",
    "limit_mm_per_prompt": "--limit-mm-per-prompt",
    "hf_overrides": "--hf-overrides",
    "chat_template": "--chat-template",
    "tool_call_parser": "--tool-call-parser",
    "reasoning_parser": "--reasoning-parser",
    "max_logprobs": "--max-logprobs",
    "logprobs_mode": "--logprobs-mode",
}
_API_SERVER = "vllm.entrypoints.openai.api_server"
GENERATION = ("max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty")  # defaults of requests
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # the values that vLLM's --max-lora-rank accepts


class VllmBackend(AdapterRoutes, DevelopmentWeightRoutes):
    """vLLM's OpenAI-compatible server."""

    def __init__(self, options: VllmOptions) -> None:
        self._options = options

    def command(self, serving: Serving) -> Command:
        """Return the command line and environment variables that start the server.

        It starts the module behind `vllm serve`, which the CPU build has too. Model and adapters are local, so the engine runs offline.

        Raises:
            UsageError: an adapter has no readable configuration, or its rank exceeds vLLM's maximum.
        """
        options = self._options
        argv = [serving.python, "-m", _API_SERVER]
        argv += ["--model", str(serving.checkpoint), "--served-model-name", serving.name]
        argv += ["--host", serving.host, "--port", str(serving.port)]
        argv += head_arguments(serving.checkpoint)
        argv += arguments(options, FLAGS)
        if options.tool_call_parser:
            argv.append("--enable-auto-tool-choice")
        if options.prefix_caching is not None:
            argv.append("--enable-prefix-caching" if options.prefix_caching else "--no-enable-prefix-caching")
        if speculative := self._speculative_config():
            argv += ["--speculative-config", json.dumps(speculative)]
        if defaults := {name: value for name in GENERATION if (value := getattr(options, name)) is not None}:
            argv += ["--override-generation-config", json.dumps(defaults)]
        if serving.trust_remote_code:
            argv.append("--trust-remote-code")
        if serving.adapters or serving.runtime_adapters:
            argv += self._lora(serving.adapters)
        return Command(argv=(*argv, *options.extra), env=self._environment(serving))

    def node_command(self, serving: Serving, node: EngineNode) -> Command:
        """Return the command of a machine: rank 0 is the API server, the others are `vllm serve --headless`."""
        whole = self.command(serving)
        argv = [*whole.argv, "--nnodes", str(node.nodes), "--node-rank", str(node.rank)]
        argv += ["--master-addr", node.address, "--master-port", str(node.port)]
        if not node.rank:
            return replace(whole, argv=tuple(argv))
        program, _, _, *arguments = argv
        return Command(argv=(program, serve_command.__file__, *arguments, "--headless"), env=whole.env, ready="")

    def _speculative_config(self) -> dict[str, object]:
        options = self._options
        values = {
            "method": options.speculative_method,
            "model": options.speculative_model,
            "num_speculative_tokens": options.speculative_tokens,
        }
        return {**options.speculative_config, **{key: value for key, value in values.items() if value}}

    def _lora(self, adapters: Mapping[str, Path]) -> list[str]:
        check_plain_bases("vLLM", adapters)
        argv = ["--enable-lora"]
        rank = self._options.max_lora_rank or max((adapter_rank(path) for path in adapters.values()), default=0)
        if rank > RANKS[-1]:
            raise UsageError(
                f"vLLM supports adapters up to rank {RANKS[-1]}, not {rank}",
                code="SERVE-048",
                where="adapter",
                hint="Merge the adapter and serve the merged model.",
            )
        if rank:
            argv += ["--max-lora-rank", str(next(allowed for allowed in RANKS if allowed >= rank))]
        if count := self._options.max_loras or len(adapters):
            argv += ["--max-loras", str(count)]
        if self._options.max_cpu_loras:
            argv += ["--max-cpu-loras", str(self._options.max_cpu_loras)]
        if adapters:  # as JSON, so that a path may contain any character
            argv += ["--lora-modules", *(json.dumps({"name": alias, "path": str(path)}) for alias, path in adapters.items())]
        return argv

    def _environment(self, serving: Serving) -> dict[str, str]:
        environment = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
        if serving.api_key:
            environment["VLLM_API_KEY"] = serving.api_key
        if serving.runtime_adapters:
            environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
        if serving.runtime_weights:
            environment["VLLM_SERVER_DEV_MODE"] = "1"
        if self._options.cpu_kv_cache_gib:
            environment["VLLM_CPU_KVCACHE_SPACE"] = str(self._options.cpu_kv_cache_gib)
        if self._options.cpu_threads:
            environment["VLLM_CPU_OMP_THREADS_BIND"] = self._options.cpu_threads
        return environment


def adapter_rank(folder: Path) -> int:
    """Return the highest rank of a PEFT adapter in any layer.

    Raises:
        UsageError: the folder has no readable adapter_config.json with a rank.
    """
    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return max(int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values()), 0)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            "not a LoRA adapter in PEFT's format: it states no rank",
            code="SERVE-049",
            where=str(path),
            hint="vLLM serves LoRA adapters only; merge adapters of other methods first.",
        ) from error
