"""The optimizer dealt out over the copies of the model: each steps some of the weights, whole ones, and gives them to the others.

The state of AdamW, twice the weights in float32, is then held once and not once a copy. Every weight is stepped as it would be alone, so
that nothing else changes. Method (in other pieces): Rajbhandari et al. 2019, https://arxiv.org/abs/1910.02054
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch.distributed as dist

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from swift_plugin_megatron.gradients import Learned


class DistributedOptimizer:
    """Which copy steps which weight. Build it before the optimizer's first step; it takes the others' weights from it.

    Args:
        learned: every weight that learns here; its last group are the processes that have the same.
    """

    def __init__(self, optimizer: Optimizer, learned: Sequence[Learned]) -> None:
        self.learned = learned
        loads: dict[int, list[int]] = {}
        self.owners: list[int] = []
        for parameter, _, over in learned:
            load = loads.setdefault(id(over[-1]), [0] * dist.get_world_size(over[-1]))
            self.owners.append(load.index(min(load)))
            load[self.owners[-1]] += parameter.numel()
        others = {id(item.parameter) for item, owner in zip(learned, self.owners, strict=True) if owner != dist.get_rank(item.over[-1])}
        for group in optimizer.param_groups:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in others]

    def give(self) -> None:
        """Make each weight on every process what its owner has stepped it to. Collective."""
        for (parameter, _, over), owner in zip(self.learned, self.owners, strict=True):
            dist.broadcast(parameter.data, group=over[-1], group_src=owner)
