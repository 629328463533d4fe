"""A plugin without a fault: what the bad ones are with one thing changed."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [BackendSpec(name="good", summary="Does it well", factory=Ref("faults.backends:Good"), reads=("safetensors",), adapters=True)]
