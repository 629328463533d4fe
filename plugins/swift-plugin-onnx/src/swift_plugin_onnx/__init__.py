"""ONNX export: decoders with a KV cache through onnxruntime-genai's model builder, other models through torch.onnx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, ExporterSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run

_REQUIREMENTS = ("onnxruntime-genai>=0.18", "onnxruntime>=1.20", "onnx>=1.17", "onnx-ir>=0.1", "transformers>=5.5")
ENGINES = (
    Engine(when="cpu", requirements=(*_REQUIREMENTS, "torch>=2.6,<2.14"), disk=1.5),  # the newest with a CPU-only build
    Engine(requirements=(*_REQUIREMENTS, "torch>=2.6"), disk=7.0),
)


@hookimpl
def swift_exporters() -> list[ExporterSpec]:
    """Return the ONNX exporter, which has an environment of its own."""
    return [
        ExporterSpec(
            name="onnx",
            summary="An ONNX decoder with a KV cache (32 to 4 bits) for onnxruntime-genai, or a classifier or embedding model",
            factory=Ref("swift_plugin_onnx.exporter:OnnxExporter"),
            options=Ref("swift_plugin_onnx.options:OnnxOptions"),
            engines=ENGINES,
            isolated=True,
            reads=("safetensors",),
            writes="onnx",
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Reject unsupported models and types; warn of int4 without mixed precision and of a decoder without a KV cache."""
    chosen = run.parts.get("exporter")
    if chosen is None or chosen.name != "onnx" or run.model is None or run.adapters:
        return
    from swift_formats.sentence_transformers import pooling_of

    from swift_core.contract import UsageError
    from swift_plugin_onnx.architectures import check_type, export_method

    try:
        method = export_method(Path(run.model.path))
        if method == "embedder":
            pooling_of(Path(run.model.path))
    except UsageError as error:
        yield Problem(code=error.code, where="model", message=error.message, hint=error.hint)
        return
    try:
        check_type(method, chosen.options.get("type", "fp32"))
    except UsageError as error:
        yield Problem(code=error.code, where=error.where, message=error.message, hint=error.hint)
    if method == "decoder":
        message = "the model builder does not support this architecture: torch.onnx exports it without a KV cache, so it is not for serving"
        yield Problem(code="EXPORT-046", where="model", message=message, fatal=False)
    if chosen.options.get("type") == "int4" and chosen.options.get("plain"):
        message = "int4 with round-to-nearest has a high quantization error: without --plain, the most sensitive matrices keep 8 bits"
        yield Problem(code="EXPORT-047", where="plain", message=message, fatal=False)
