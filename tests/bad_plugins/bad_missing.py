"""Serves a checkpoint that is not there."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [
        BackendSpec(
            name="missing", summary="Does it badly", factory=Ref("faults.backends:ServesAnything"), reads=("safetensors",), adapters=True
        )
    ]
