"""Streams on past a stop text."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [
        BackendSpec(
            name="stream-stop", summary="Does it badly", factory=Ref("faults.backends:StreamsOn"), reads=("safetensors",), adapters=True
        )
    ]
