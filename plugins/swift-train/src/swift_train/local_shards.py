"""Optimizers of libraries that know no sharded tensors, on this process's shards of them.

That is right where each number of the update depends on the same number of weight and gradient alone (AdamW, Lion), but for the blocks that
a quantized state is scaled in, which then end at the shard's end. The state is this process's own, so a run goes on with the same number of
processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

if TYPE_CHECKING:
    from torch import Tensor

Groups = Sequence[dict[str, Any]]


def on_local_shards(groups: Groups, make: Callable[[Groups], Optimizer]) -> Optimizer:
    """Return the optimizer that `make` returns for the groups; for sharded weights, one over their local shards."""
    sharded = any(isinstance(weight, DTensor) for group in groups for weight in group["params"])
    return LocalShardOptimizer(groups, make) if sharded else make(groups)


class LocalShardOptimizer(Optimizer):
    """An optimizer over the local shards of weights; it has the groups and the state of `inner`, which is over plain tensors."""

    def __init__(self, groups: Groups, make: Callable[[Groups], Optimizer]) -> None:
        self._weights: list[Tensor] = [weight for group in groups for weight in group["params"]]
        self.inner = make([{**group, "params": [torch.nn.Parameter(_local(weight)) for weight in group["params"]]} for group in groups])
        super().__init__(self.inner.param_groups, self.inner.defaults)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Step with the gradients of the sharded weights; `closure` is not supported. A shard without numbers is left out."""
        assert closure is None
        pairs = list(zip(self._shards(), self._weights, strict=True))
        for shard, weight in pairs:
            shard.data = _local(weight)
            shard.grad = _local(weight.grad) if weight.grad is not None and shard.numel() else None
        self.inner.step()
        for shard, weight in pairs:
            if shard.data_ptr() != (own := _local(weight)).data_ptr():  # the library has made a contiguous copy
                own.copy_(shard)
            shard.grad = None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Discard the gradients of the sharded weights."""
        for weight in self._weights:
            if set_to_none:
                weight.grad = None
            elif weight.grad is not None:
                weight.grad.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of this process's shards."""
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned in the same process of the same number of them."""
        self.inner.load_state_dict(state_dict)
        self._share()

    def _shards(self) -> list[Any]:
        return [shard for group in self.param_groups for shard in group["params"]]

    def _share(self) -> None:
        self.param_groups, self.state = self.inner.param_groups, self.inner.state


def _local(tensor: Tensor) -> Tensor:
    found: Tensor = tensor.detach()
    return found.to_local() if isinstance(found, DTensor) else found
