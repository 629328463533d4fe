"""Takes requests without its API key."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [
        BackendSpec(
            name="open", summary="Does it badly", factory=Ref("faults.backends:AsksForNoKey"), reads=("safetensors",), adapters=True
        )
    ]
