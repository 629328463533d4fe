"""Ends before it serves anything."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [
        BackendSpec(
            name="start", summary="Does it badly", factory=Ref("faults.backends:NeverServes"), reads=("safetensors",), adapters=True
        )
    ]
