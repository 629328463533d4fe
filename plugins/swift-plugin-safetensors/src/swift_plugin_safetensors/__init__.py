"""Checkpoints and adapters as they are, but for the type of their numbers and the size of their files."""

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
    """One exporter, for whole models and for adapters alone."""
    return [
        ExporterSpec(
            name="safetensors",
            also=("peft",),
            summary="The checkpoint, or an adapter alone, in another type or in files of another size",
            factory=Ref("swift_plugin_safetensors.exporter:SafetensorsExporter"),
            options=Ref("swift_plugin_safetensors.options:SafetensorsOptions"),
            engines=(Engine(requirements=("safetensors>=0.5", "torch>=2.6")),),
            reads=("safetensors", "adapter"),
            writes="safetensors",
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Say which adapters vLLM would not serve as they are; a copy of them is made all the same."""
    chosen = run.parts.get("exporter")
    if chosen is None or chosen.name != "safetensors":
        return
    from swift_plugin_safetensors.vllm_support import vllm_notes

    for adapter in run.adapters.values():
        for note in vllm_notes(Path(adapter.path)):
            yield Problem(where="adapter", message=note, fatal=False)
