"""Says that it takes no adapters while it runs, and does not refuse them."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [
        BackendSpec(name="runtime", summary="Does it badly", factory=Ref("faults.backends:TakesAny"), reads=("safetensors",), adapters=True)
    ]
