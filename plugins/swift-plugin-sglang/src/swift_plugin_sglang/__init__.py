"""SGLang as a serving backend: the swift side of it, which needs nothing but swift-core."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract.specs import BackendSpec, Engine, Ref

SWIFT_EXAMPLES = Ref("swift_plugin_sglang.examples:EXAMPLES")


@hookimpl
def swift_backends() -> list[BackendSpec]:
    """SGLang needs an accelerator: its CPU kernels are not on the package index."""
    return [
        BackendSpec(
            name="sglang",
            summary="SGLang: a tree of shared prompt prefixes, continuous batching",
            factory=Ref("swift_plugin_sglang.backend:SglangBackend"),
            options=Ref("swift_plugin_sglang.options:SglangOptions"),
            engines=(Engine(when="cuda", python=">=3.11", requirements=("sglang>=0.5.23",)),),
            isolated=True,
            reads=("safetensors",),
            modalities=("text", "image", "video", "audio"),
            adapters=True,
            adapter_names="{model}:{adapter}",
            runtime_adapters=True,
        )
    ]
