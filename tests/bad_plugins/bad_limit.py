"""Says more than it is asked for."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [
        BackendSpec(name="limit", summary="Does it badly", factory=Ref("faults.backends:SaysItAll"), reads=("safetensors",), adapters=True)
    ]
