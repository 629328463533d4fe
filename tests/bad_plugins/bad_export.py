"""Writes the time of day into what it exports."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import ExporterSpec, Ref


@hookimpl
def swift_exporters():
    return [
        ExporterSpec(name="export", summary="Does it badly", factory=Ref("faults.exporters:Dated"), reads=("safetensors",), writes="dated")
    ]
