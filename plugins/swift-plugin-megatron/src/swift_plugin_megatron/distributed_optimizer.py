"""The distributed optimizer (ZeRO-1): each data-parallel replica updates a subset of the weights and broadcasts them to the others.

The optimizer state (for AdamW, twice the weights in float32) then exists once instead of once per replica. Weights are assigned whole and
updated as without it, so the result is bit-identical. Method: Rajbhandari et al. 2019, https://arxiv.org/abs/1910.02054 (which splits
weights instead).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch.distributed as dist

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from swift_plugin_megatron.gradients import TrainableShard


class DistributedOptimizer:
    """The assignment of weights to replicas. Create it before the optimizer's first step; it removes the other replicas' weights from it.

    Args:
        trainable: every trainable weight of this process; the last group of each has the processes that hold the same shard.
    """

    def __init__(self, optimizer: Optimizer, trainable: Sequence[TrainableShard]) -> None:
        self.trainable = trainable
        loads: dict[int, list[int]] = {}
        self.owners: list[int] = []
        for parameter, _, groups in trainable:
            load = loads.setdefault(id(groups[-1]), [0] * dist.get_world_size(groups[-1]))
            self.owners.append(load.index(min(load)))
            load[self.owners[-1]] += parameter.numel()
        others = {id(item.parameter) for item, owner in zip(trainable, self.owners, strict=True) if owner != dist.get_rank(item.groups[-1])}
        for group in optimizer.param_groups:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in others]

    def broadcast(self) -> None:
        """Broadcast each updated weight from its owner to the other replicas. Collective."""
        for (parameter, _, groups), owner in zip(self.trainable, self.owners, strict=True):
            dist.broadcast(parameter.data, group=groups[-1], group_src=owner)
