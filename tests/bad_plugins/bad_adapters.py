"""Says that it serves adapters, and answers for them with the base."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [
        BackendSpec(
            name="adapters", summary="Does it badly", factory=Ref("faults.backends:IgnoresAdapters"), reads=("safetensors",), adapters=True
        )
    ]
