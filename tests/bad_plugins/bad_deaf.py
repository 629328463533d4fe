"""Does not end when it is asked to."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [BackendSpec(name="deaf", summary="Does it badly", factory=Ref("faults.backends:Deaf"), reads=("safetensors",), adapters=True)]
