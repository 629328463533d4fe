"""Streams another text than it returns."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [
        BackendSpec(
            name="stream", summary="Does it badly", factory=Ref("faults.backends:StreamsOther"), reads=("safetensors",), adapters=True
        )
    ]
