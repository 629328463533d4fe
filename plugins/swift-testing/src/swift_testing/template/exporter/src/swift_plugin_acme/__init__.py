"""An exporter: safetensors → NumPy's `.npz`, one array per tensor."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Engine, ExporterSpec, Ref


@hookimpl
def swift_exporters() -> list[ExporterSpec]:
    """Return one exporter."""
    return [
        ExporterSpec(
            name="acme",
            summary="A checkpoint's tensors as one NumPy archive",
            factory=Ref("swift_plugin_acme.exporter:Acme"),
            reads=("safetensors",),
            writes="npz",
            engines=(Engine(requirements=("numpy>=1.26", "safetensors>=0.5", "torch>=2.6")),),
        )
    ]
