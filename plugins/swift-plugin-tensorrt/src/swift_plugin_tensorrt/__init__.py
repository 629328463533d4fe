"""TensorRT-LLM: the checkpoint as it serves it, and the command; no engine is built, since it builds none ahead any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.specs import ExporterSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.run import Run


@hookimpl
def swift_exporters() -> list[ExporterSpec]:
    """One exporter, which needs neither a GPU nor TensorRT-LLM."""
    return [
        ExporterSpec(
            name="tensorrt",
            summary="A checkpoint checked for TensorRT-LLM, with its settings and the command that serves it",
            also=("trtllm", "tensorrt-llm"),
            factory=Ref("swift_plugin_tensorrt.exporter:TensorrtExporter"),
            options=Ref("swift_plugin_tensorrt.options:TensorrtOptions"),
            reads=("safetensors",),
            writes="safetensors",
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Refuse what TensorRT-LLM does not serve, before anything is written."""
    chosen = run.parts.get("exporter")
    if chosen is None or chosen.name != "tensorrt" or run.model is None or run.adapters:
        return
    from swift_core.errors import UsageError
    from swift_plugin_tensorrt.layout import check_checkpoint

    try:
        check_checkpoint(Path(run.model.path), chosen.make_options())
    except UsageError as error:
        yield Problem(where=error.where, message=error.message, hint=error.hint)
