"""vLLM as a serving backend: the thin plugin; vLLM itself runs in its own environment."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, FlagFor, Ref
from swift_plugin_vllm.engines import ENGINES

SWIFT_EXAMPLES = Ref("swift_plugin_vllm.examples:EXAMPLES")


_CHOOSING = (  # options whose names in ms-swift say vLLM, so that they choose it where no backend is named
    "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "gpu_memory_utilization", "max_model_len", "max_num_seqs",
    "max_lora_rank", "enforce_eager", "limit_mm_per_prompt", "quantization", "reasoning_parser", "tool_call_parser",
)  # fmt: skip


@hookimpl
def swift_backends() -> list[BackendSpec]:
    """Return the backend. vLLM reads safetensors; since 0.33, GGUF and bitsandbytes are separate vLLM plugins."""
    return [
        BackendSpec(
            name="vllm",
            summary="vLLM: paged attention, continuous batching, several adapters on one base model",
            factory=Ref("swift_plugin_vllm.backend:VllmBackend"),
            options=Ref("swift_plugin_vllm.options:VllmOptions"),
            engines=ENGINES,
            isolated=True,
            reads=("safetensors",),
            serves=("chat", "completions", "embeddings", "classify", "score", "rerank"),
            modalities=("text", "image", "video", "audio"),
            adapters=True,
            runtime_adapters=True,
            flags=tuple(FlagFor(f"vllm_{name}", name, yields=True) for name in _CHOOSING),
        )
    ]
