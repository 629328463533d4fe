"""Checkpoints for TensorRT-LLM with the command, since it builds no engines ahead any more; and TensorRT's own engines from ONNX."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract.specs import Engine, ExporterSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract.run import Run


@hookimpl
def swift_exporters() -> list[ExporterSpec]:
    """A checkpoint for TensorRT-LLM, which needs neither a GPU nor it; an engine of TensorRT, which needs both."""
    return [
        ExporterSpec(
            name="tensorrt",
            summary="A checkpoint checked for TensorRT-LLM, with its settings and the command that serves it",
            also=("trtllm", "tensorrt-llm"),
            factory=Ref("swift_plugin_tensorrt.exporter:TensorrtExporter"),
            options=Ref("swift_plugin_tensorrt.options:TensorrtOptions"),
            reads=("safetensors",),
            writes="safetensors",
        ),
        ExporterSpec(
            name="tensorrt-engine",
            summary="An ONNX classifier or embedder as an engine for this machine's GPU",
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
    """Refuse what TensorRT-LLM does not serve, before anything is written."""
    chosen = run.parts.get("exporter")
    if chosen is None or chosen.name != "tensorrt" or run.model is None or run.adapters:
        return
    from swift_core.contract.errors import UsageError
    from swift_plugin_tensorrt.support_matrix import check_checkpoint

    try:
        check_checkpoint(Path(run.model.path), chosen.make_options())
    except UsageError as error:
        yield Problem(where=error.where, message=error.message, hint=error.hint)
