"""Options of the engine that samples the answers."""

from __future__ import annotations

from typing import Any

from swift_core.options import Options, option

_OF_ENGINES = ("gpu_memory_utilization", "tensor_parallel_size", "max_model_len", "max_num_seqs", "enforce_eager", "limit_mm_per_prompt")


class Rollout(Options):
    """The engine that samples the answers."""

    name: str = option(
        "transformers", "Serving backend that is started for the run (transformers, vllm, …), or URL of a running server, ending in /v1."
    )
    host: str = option("", "Host of a running server, instead of its URL.", also=("vllm_server_host",))
    port: int = option(8000, "Port of a running server, with host.", ge=1, le=65535, also=("vllm_server_port",))
    gpu_memory_utilization: float | None = option(
        None, "Fraction of the device's memory for the engine.", gt=0, le=1, also=("vllm_gpu_memory_utilization",)
    )
    tensor_parallel_size: int | None = option(
        None, "Devices that every layer of the engine is sharded over.", ge=1, also=("vllm_tensor_parallel_size",)
    )
    max_model_len: int | None = option(
        None, "Maximum context length of the engine, prompt plus answer, in tokens.", ge=1, also=("vllm_max_model_len",)
    )
    max_num_seqs: int | None = option(None, "Maximum number of sequences per batch of the engine.", ge=1, also=("vllm_max_num_seqs",))
    enforce_eager: bool | None = option(None, "Disable compilation and CUDA graphs in the engine.", also=("vllm_enforce_eager",))
    limit_mm_per_prompt: dict[str, Any] = option(
        dict, 'Maximum number of images, videos and audios per prompt, as JSON: {"image": 4}.', also=("vllm_limit_mm_per_prompt",)
    )
    options: dict[str, Any] = option(dict, 'Further options of the backend, as JSON: {"device": "cuda:1"}.', also=("vllm_engine_kwargs",))
    model: str = option("", "Name of the model on a running server; default: its first model.")
    folder: str = option(
        "", "Folder for the weights that the engine reads, shared with a server on another machine; default: policies in the run folder."
    )
    ahead: int = option(
        0, "Sample this many batches of answers ahead, with older weights, while the model is trained (asynchronous rollouts).", ge=0
    )
    concurrency: int = option(16, "Maximum number of prompts sampled at the same time.", ge=1)
    api_key_env: str = option("SWIFT_API_KEY", "Environment variable with the API key of a running server.")

    @property
    def is_url(self) -> bool:
        """True if a running server is used."""
        return "://" in self.url

    @property
    def url(self) -> str:
        """The URL of a running server; else the name of a backend."""
        return f"http://{self.host}:{self.port}/v1" if self.host else self.name

    @property
    def backend_options(self) -> dict[str, Any]:
        """The options of the backend that are set."""
        named = {name: getattr(self, name) for name in _OF_ENGINES}
        return {**{name: value for name, value in named.items() if value not in (None, {})}, **self.options}
