"""Says that it serves no adapters, and takes them without a word."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [BackendSpec(name="denied-adapters", summary="Does it badly", factory=Ref("faults.backends:Good"), reads=("safetensors",))]
