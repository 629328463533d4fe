"""Checkpoints and adapters as they are, but for the type of their numbers and the size of their files."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.specs import Engine, ExporterSpec, Ref


@hookimpl
def swift_exporters() -> list[ExporterSpec]:
    """One exporter, for whole models and for adapters alone."""
    return [
        ExporterSpec(
            name="safetensors",
            summary="The checkpoint, or an adapter alone, in another type or in files of another size",
            factory=Ref("swift_plugin_safetensors.exporter:SafetensorsExporter"),
            options=Ref("swift_plugin_safetensors.options:SafetensorsOptions"),
            engines=(Engine(requirements=("safetensors>=0.5", "torch>=2.6")),),
            reads=("safetensors", "adapter"),
            writes="safetensors",
        )
    ]
