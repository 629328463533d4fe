"""Tensor × data: layers are cut by their plan, then every weight is cut over the data dimension too, as FSDP2 does.

With data 1 it is `fully_shard` all the same: it is what computes in bfloat16 with weights that learn in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from swift_train.loading import give_out
from swift_train.sharding import passes, shard

from swift_plugin_mesh.base import MeshStrategy
from swift_plugin_mesh.proof import along, prove
from swift_plugin_mesh.tensor import parallelize, plan_of

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import LossTask
    from torch.nn import Module, Parameter


class LayersStrategy(MeshStrategy):
    """`swift_train.strategy.Strategy` over layers that are cut."""

    def look(self, load: Callable[[torch.device], Module]) -> None:
        """Find the plan."""
        size = self.options.tensor
        self.plan = plan_of(load(torch.device("meta")), size) if size > 1 else {}

    def place(self) -> None:
        """Cut by the plan, and block by block over the data dimension."""
        fill = partial(give_out, device=self.device)
        parallelize(self.module, self.mesh["tensor"], self.plan, fill)
        shard(self.module, self.mesh["data"], self.dtype, fill=fill)

    def prove(self) -> dict[str, Any]:
        """Every weight as the plan has it, and in parts over the data dimension."""
        return prove(self.module, self.plan, shards=True) | {"layers_cut": len(self.plan)}

    def held_by(self, parameter: Parameter) -> int:
        """Those along the tensor dimension, where it is whole over that."""
        return self.options.tensor if along(parameter, "tensor").is_replicate() else 1

    def accumulate(self, micros: Sequence[Micro], task: LossTask, weight: float, train: bool = True) -> float:
        """Forward and backward, one micro-batch after another."""
        losses = passes(self.module, micros, task, self.device, factor=weight * self.scale.value, train=train)
        return self.reduce(losses, "sum") * weight
