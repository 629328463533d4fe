"""The checkpoint formats as data."""

from __future__ import annotations

from swift_core.contract import FormatSpec, Ref, hookimpl

SWIFT_EXAMPLES = Ref("swift_formats.examples:EXAMPLES")

ADAPTER = FormatSpec(
    name="adapter",
    summary="An adapter as PEFT saves it, used with the base model that it was trained on",
    recognised_by=("adapter_config.json",),
    weights=("*.safetensors",),
    precedence=50,
    adapter=True,
    base=Ref("swift_formats.adapters:base_name"),
    check_base=Ref("swift_formats.adapters:check_base"),
    head=Ref("swift_formats.head:of_adapter"),
    check=Ref("swift_formats.adapters:check"),
)
SAFETENSORS = FormatSpec(
    name="safetensors",
    summary="A Hugging Face model: config.json and safetensors files",
    recognised_by=("*.safetensors",),
    weights=("*.safetensors",),
    download=Ref("swift_formats.download:safetensors"),
    precedence=40,
    family_from="config.json",
    quantization=Ref("swift_formats.config:quantization_of"),
    head=Ref("swift_formats.head:of_model"),
    check=Ref("swift_formats.completeness:check"),
)
GGUF = FormatSpec(
    name="gguf",
    summary="One or more GGUF files, as llama.cpp and Ollama read them",
    recognised_by=("*.gguf",),
    weights=("*.gguf",),
    download=Ref("swift_formats.download:gguf"),
    precedence=30,
)
ONNX = FormatSpec(
    name="onnx",
    summary="ONNX graphs, with their weights in files beside them",
    recognised_by=("*.onnx",),
    weights=("*.onnx", "*.data", "*.onnx_data"),
    precedence=10,
)


@hookimpl
def swift_formats() -> list[FormatSpec]:
    """Return the formats."""
    return [ADAPTER, SAFETENSORS, GGUF, ONNX]
