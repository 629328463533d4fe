"""Leaves a process behind that keeps its port."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [
        BackendSpec(
            name="port", summary="Does it badly", factory=Ref("faults.backends:KeepsItsPort"), reads=("safetensors",), adapters=True
        )
    ]
