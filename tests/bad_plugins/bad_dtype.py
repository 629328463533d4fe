"""Loads in float32 whatever is asked for."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import LoaderSpec, Ref


@hookimpl
def swift_loaders():
    return [LoaderSpec(name="dtype", summary="Does it badly", factory=Ref("faults.loaders:Whole"), reads=("safetensors",))]
