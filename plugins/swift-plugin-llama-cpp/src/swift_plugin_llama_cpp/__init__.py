"""llama.cpp's own quantizer, in an environment of its own: GGUF → GGUF in fewer bits."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.specs import Engine, ExporterSpec, Ref

ENGINE = Engine(requirements=("cyllama>=0.2.18",), disk=0.1)
"""cyllama brings llama.cpp as a wheel for CPUs, without torch or NumPy."""

SWIFT_EXAMPLES = Ref("swift_plugin_llama_cpp.examples:EXAMPLES")


@hookimpl
def swift_exporters() -> list[ExporterSpec]:
    """The K types, which only llama.cpp itself can write."""
    return [
        ExporterSpec(
            name="gguf-k",
            summary="A GGUF file quantized further by llama.cpp: q4_k_m and the other K types",
            also=("llama-quantize",),
            factory=Ref("swift_plugin_llama_cpp.quantize:LlamaQuantize"),
            options=Ref("swift_plugin_llama_cpp.options:LlamaQuantizeOptions"),
            engines=(ENGINE,),
            isolated=True,
            reads=("gguf",),
            writes="gguf",
        )
    ]
