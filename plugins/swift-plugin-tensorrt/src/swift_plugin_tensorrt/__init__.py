"""Export for TensorRT-LLM, which serves checkpoints without building an engine, and TensorRT engines from ONNX models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, ExporterSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run


@hookimpl
def swift_exporters() -> list[ExporterSpec]:
    """Return the exporters: a folder for TensorRT-LLM, and a TensorRT engine, which needs a GPU and TensorRT to build."""
    return [
        ExporterSpec(
            name="tensorrt",
            summary="A checkpoint checked for TensorRT-LLM, with its settings and a trtllm-serve command",
            also=("trtllm", "tensorrt-llm"),
            factory=Ref("swift_plugin_tensorrt.exporter:TensorrtExporter"),
            options=Ref("swift_plugin_tensorrt.options:TensorrtOptions"),
            reads=("safetensors",),
            writes="safetensors",
        ),
        ExporterSpec(
            name="tensorrt-engine",
            summary="A TensorRT engine for this machine's GPU, from an ONNX classifier or embedding model",
            also=("trt",),
            factory=Ref("swift_plugin_tensorrt.engine:EngineExporter"),
            options=Ref("swift_plugin_tensorrt.engine_options:EngineOptions"),
            engines=(Engine(when="cuda", requirements=("tensorrt>=10",), disk=5.0),),
            isolated=True,
            reads=("onnx",),
            writes="tensorrt",
        ),
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Reject checkpoints that TensorRT-LLM does not support, before anything is written."""
    chosen = run.parts.get("exporter")
    if chosen is None or chosen.name != "tensorrt" or run.model is None or run.adapters:
        return
    from swift_core.contract import UsageError
    from swift_plugin_tensorrt.support_matrix import check_checkpoint

    try:
        check_checkpoint(Path(run.model.path), chosen.make_options())
    except UsageError as error:
        yield Problem(code=error.code, where=error.where, message=error.message, hint=error.hint)
