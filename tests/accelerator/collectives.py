"""Collectives of the device: gloo's, on the same memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

NAME = "simccl"
_CALLS = (
    "allreduce", "allreduce_coalesced", "broadcast", "allgather", "gather", "scatter", "reduce", "reduce_scatter", "alltoall", "send",
    "recv",
)  # fmt: skip
_RENAMED = {  # newer names of a process group, and those of gloo
    "all_gather_single": "_allgather_base",
    "reduce_scatter_single": "_reduce_scatter_base",
    "all_to_all_single": "alltoall_base",
}


def register(host: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Register the backend; `host` returns the tensor of the CPU with the memory of one of the device."""

    def create(store: dist.Store, rank: int, size: int, timeout: timedelta) -> dist.ProcessGroup:
        return _Group(dist.ProcessGroupGloo(store, rank, size, timeout), host)

    dist.Backend.register_backend(NAME, create, devices=["sim"])


class _Group(dist.ProcessGroup):  # type: ignore[misc]
    """A process group that hands the tensors of the device to gloo as tensors of the CPU; those of the CPU are refused, as by NCCL."""

    _device_types = (torch.device("sim"),)

    def __init__(self, gloo: Any, host: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__(gloo.rank(), gloo.size())
        self._gloo, self._host, self._name = gloo, host, ""

    def getBackendName(self) -> str:
        return NAME

    def barrier(self, opts: Any = None) -> Any:
        return self._gloo.barrier()

    def all_gather_single_coalesced(self, outputs: list[torch.Tensor], inputs: list[torch.Tensor], opts: Any = None) -> Any:
        works = [self._gloo._allgather_base(self._host(out), self._host(given)) for out, given in zip(outputs, inputs, strict=True)]
        for work in works[:-1]:
            work.wait()
        return works[-1]

    def getGroupName(self) -> str:
        return self._name

    def setGroupName(self, name: str) -> None:
        self._name = name

    @property
    def pg_name(self) -> str:
        return self._name

    @property
    def group_name(self) -> str:
        return self._name

    def _on_host(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if value.device.type != "sim":
                raise RuntimeError(f"{NAME}: no backend for tensors of the device {value.device}")
            return self._host(value)
        if isinstance(value, (list, tuple)):
            return type(value)(self._on_host(each) for each in value)
        return value


def _call(name: str) -> Callable[..., Any]:
    def call(self: _Group, *arguments: Any) -> Any:
        return getattr(self._gloo, name)(*(self._on_host(value) for value in arguments))

    return call


for _name, _of_gloo in {**{name: name for name in _CALLS}, **_RENAMED}.items():
    setattr(_Group, _name, _call(_of_gloo))
