"""Runs the code of any checkpoint."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import LoaderSpec, Ref


@hookimpl
def swift_loaders():
    return [LoaderSpec(name="code", summary="Does it badly", factory=Ref("faults.loaders:Runs"), reads=("safetensors",))]
