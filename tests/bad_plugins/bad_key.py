"""Puts the API key where every user of the machine can read it."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [
        BackendSpec(name="key", summary="Does it badly", factory=Ref("faults.backends:ShowsTheKey"), reads=("safetensors",), adapters=True)
    ]
