"""SGLang as a serving backend: the thin plugin; SGLang itself runs in its own environment."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Engine, Ref

SWIFT_EXAMPLES = Ref("swift_plugin_sglang.examples:EXAMPLES")


@hookimpl
def swift_backends() -> list[BackendSpec]:
    """Return the backend. SGLang needs an accelerator: its CPU kernels are not on the package index."""
    return [
        BackendSpec(
            name="sglang",
            summary="SGLang: prefix caching in a radix tree, continuous batching",
            factory=Ref("swift_plugin_sglang.backend:SglangBackend"),
            options=Ref("swift_plugin_sglang.options:SglangOptions"),
            engines=(Engine(when="cuda", python=">=3.11", requirements=("sglang>=0.5.23",)),),
            isolated=True,
            reads=("safetensors",),
            serves=("chat", "completions", "embeddings", "classify"),
            modalities=("text", "image", "video", "audio"),
            adapters=True,
            adapter_names="{model}:{adapter}",
            runtime_adapters=True,
        )
    ]
