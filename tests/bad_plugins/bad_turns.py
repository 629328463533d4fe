"""Mixes up who is asked."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [
        BackendSpec(name="turns", summary="Does it badly", factory=Ref("faults.backends:MixesUp"), reads=("safetensors",), adapters=True)
    ]
