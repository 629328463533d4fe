"""Safetensors export: copies of checkpoints and adapters with another dtype or shard size."""

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
    """Return the safetensors exporter, for whole models and for adapters."""
    return [
        ExporterSpec(
            name="safetensors",
            also=("peft",),
            summary="A copy of a checkpoint or an adapter with another dtype or shard size",
            factory=Ref("swift_plugin_safetensors.exporter:SafetensorsExporter"),
            options=Ref("swift_plugin_safetensors.options:SafetensorsOptions"),
            engines=(Engine(requirements=("safetensors>=0.5", "torch>=2.6")),),
            reads=("safetensors", "adapter"),
            writes="safetensors",
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Warn of adapters that vLLM does not serve as they are; they are exported all the same."""
    chosen = run.parts.get("exporter")
    if chosen is None or chosen.name != "safetensors":
        return
    from swift_plugin_safetensors.vllm_support import vllm_notes

    for adapter in run.adapters.values():
        for note in vllm_notes(Path(adapter.path)):
            yield Problem(code="EXPORT-059", where="adapter", message=note, fatal=False)
