"""vLLM as a serving backend: the thin plugin; vLLM itself runs in its own environment."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref
from swift_plugin_vllm.engines import ENGINES

SWIFT_EXAMPLES = Ref("swift_plugin_vllm.examples:EXAMPLES")


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
        )
    ]
