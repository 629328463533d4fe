"""A ledger of tensor memory: every live storage once, by category, and the moment of the highest total.

It stands between torch and its operators (`TorchDispatchMode`), on fake tensors or real ones. Python keeps one object per storage while the
storage is alive, so a weak reference to it tells when the memory is freed. Reading a number (`loss.item()`) of a fake tensor gives 1, so
that the training code itself can be traced.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from swift_plan.trace import Peak, Work

CATEGORIES = ("weights", "adapter", "gradients", "optimizer", "inputs", "activations", "logits", "temporary")


class _Entry:
    __slots__ = ("category", "reference", "size")

    def __init__(self, size: int, category: str, reference: Any) -> None:
        self.size, self.category, self.reference = size, category, reference


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what is alive. `segment` names the part of a step that runs now, `category` what new tensors are.

    Attributes:
        now: bytes by category.
        peaks: the highest total of each segment.
        work: the arithmetic of each segment.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live: dict[int, _Entry] = {}
        self.now = dict.fromkeys(CATEGORIES, 0)
        self.total = 0
        self.segment, self.category = "build", "temporary"
        self.peaks: dict[str, Peak] = {}
        self.work: dict[str, Work] = {}

    def own(self, tensor: Tensor, category: str) -> None:
        """Count the storage of a tensor under a category, whatever it was under before."""
        tensor = _local(tensor)
        if tensor.device.type == "meta":
            return
        storage = tensor.untyped_storage()
        if entry := self.live.get(id(storage)):
            self.now[entry.category] -= entry.size
            self.now[category] += entry.size
            entry.category = category
            return
        key, size = id(storage), storage.nbytes()
        self.live[key] = _Entry(size, category, weakref.ref(storage, lambda _: self._freed(key)))
        self._add(category, size)

    def resized(self, storage: Any, size: int) -> None:
        """Follow a storage that changes its size in place, as those of sharded parameters do."""
        if entry := self.live.get(id(storage)):
            self._add(entry.category, size - entry.size)
            entry.size = size
            self.see()

    def follow(self, module: Module, trained: str = "adapter") -> None:
        """Count parameters and buffers, those that are trained as `trained`, and gradients, once they are accumulated, as gradients."""
        for parameter in module.parameters():
            self.own(parameter, trained if parameter.requires_grad else "weights")
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(self._gradient)  # type: ignore[no-untyped-call]
        for buffer in module.buffers():
            self.own(buffer, "weights")

    def _gradient(self, parameter: Tensor) -> None:
        if parameter.grad is not None:
            self.own(parameter.grad, "gradients")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Run an operator, and count what it allocates."""
        if func is torch.ops.aten._local_scalar_dense.default and _is_fake(args[0]):
            return True if args[0].dtype == torch.bool else 1.0 if args[0].is_floating_point() else 1
        out = func(*args, **(kwargs or {}))
        read = sum(_size(each) for each in tree_iter((args, kwargs)) if isinstance(each, Tensor))
        written = 0
        for each in tree_iter(out):
            if isinstance(each, Tensor) and each.device.type != "meta":
                written += _size(each)
                if id(_local(each).untyped_storage()) not in self.live:
                    self.own(each, self.category)
        work = self.work.setdefault(self.segment, Work())
        if (formula := flop_registry.get(func._overloadpacket)) is not None:
            work.flops += formula(*args, **(kwargs or {}), out_val=out)
        if not func.is_view:
            work.bytes += read + written
        self.see()
        return out

    def see(self) -> None:
        """Record the total if it is the segment's highest."""
        peak = self.peaks.setdefault(self.segment, Peak())
        if self.total > peak.total:
            peak.total, peak.parts = self.total, dict(self.now)

    def _add(self, category: str, size: int) -> None:
        self.now[category] += size
        self.total += size

    def _freed(self, key: int) -> None:
        entry = self.live.pop(key)
        self._add(entry.category, -entry.size)


def _is_fake(tensor: Any) -> bool:
    from torch._subclasses.fake_tensor import FakeTensor

    return isinstance(tensor, FakeTensor)


def _local(tensor: Tensor) -> Tensor:
    """Return the part of a distributed tensor that is in this process; the storage of the whole is only claimed."""
    local: Tensor = getattr(tensor, "_local_tensor", tensor)
    return local


def _size(tensor: Tensor) -> int:
    tensor = _local(tensor)
    return tensor.numel() * tensor.element_size()
