"""Loads a checkpoint without weights as if it had some."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import LoaderSpec, Ref


@hookimpl
def swift_loaders():
    return [LoaderSpec(name="loader", summary="Does it badly", factory=Ref("faults.loaders:Trusting"), reads=("safetensors",))]
