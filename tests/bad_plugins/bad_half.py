"""Loads what it exports, and has no limit for the comparison."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import ExporterSpec, Ref


@hookimpl
def swift_exporters():
    return [ExporterSpec(name="half", summary="Does it badly", factory=Ref("faults.exporters:Half"), reads=("safetensors",), writes="copy")]
