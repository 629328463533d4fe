"""Answers for models that it does not have."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [
        BackendSpec(
            name="any-model", summary="Does it badly", factory=Ref("faults.backends:AnyModel"), reads=("safetensors",), adapters=True
        )
    ]
