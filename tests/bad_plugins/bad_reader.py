"""Loads another model than the one that it was given."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import ExporterSpec, Ref


@hookimpl
def swift_exporters():
    return [
        ExporterSpec(name="reader", summary="Does it badly", factory=Ref("faults.exporters:Forgetful"), reads=("safetensors",), writes="x")
    ]
