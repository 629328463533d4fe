"""Waits for clients that have left."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [BackendSpec(name="left", summary="Does it badly", factory=Ref("faults.backends:Waits"), reads=("safetensors",), adapters=True)]
