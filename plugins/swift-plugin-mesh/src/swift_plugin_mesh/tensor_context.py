"""Tensor × context × data: layers are cut by their plan, then every weight is cut over the data dimension too, as FSDP2 does.

With data 1 it is `fully_shard` all the same: it is what computes in bfloat16 with weights that learn in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from swift_train.broadcast_loading import broadcast_parameters
from swift_train.ranks import all_reduce
from swift_train.sharding import run_micro_batches, shard
from torch.distributed.device_mesh import init_device_mesh

from swift_plugin_mesh.base import MeshStrategy
from swift_plugin_mesh.context_parallel import Context
from swift_plugin_mesh.tensor_parallel import parallelize, plan_of
from swift_plugin_mesh.verification import along, verify_sharding

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import LossTask
    from torch.distributed import ProcessGroup
    from torch.nn import Module, Parameter


class TensorContextStrategy(MeshStrategy):
    """`swift_train.strategy.Strategy` over layers that are cut."""

    context: Context | None = None

    def look(self, load: Callable[[torch.device], Module]) -> None:
        """Find the plan."""
        size = self.options.tensor
        self.plan = plan_of(load(torch.device("meta")), size) if size > 1 else {}

    def place(self) -> None:
        """Cut by the plan, and block by block over the data dimension."""
        fill = partial(broadcast_parameters, device=self.device)
        parallelize(self.module, self.mesh["tensor"], self.plan, fill)
        shard(self.module, self.mesh["data"], self.dtype, fill=fill)
        if self.options.context > 1:
            self.context = Context(self._tokens(), self.device)
            self.context.install(self.module, self.dtype)

    def verify_sharding(self) -> dict[str, Any]:
        """Every weight as the plan has it, and in parts over the data dimension."""
        context = {"context_difference": self.context.difference} if self.context else {}
        return verify_sharding(self.module, self.plan) | {"layers_cut": len(self.plan)} | context

    def held_by(self, parameter: Parameter) -> int:
        """Those along the tensor dimension, where it is whole over that."""
        return self.options.tensor if along(parameter, "tensor").is_replicate() else 1

    def accumulate(self, micros: Sequence[Micro], task: LossTask, weight: float, train: bool = True) -> float:
        """Forward and backward, one micro-batch after another."""
        if self.context:
            micros, task = self.context.cut(micros), self.context.task(task)
        losses = run_micro_batches(self.module, micros, task, self.device, factor=weight * self.scale.value, train=train)
        return all_reduce(losses, "sum", self.device) / self.options.tensor * weight  # parts of rows add up, copies don't

    def _tokens(self) -> ProcessGroup:
        """The processes that have the same rows, and other tokens of them."""
        shape = (self.data_size, self.options.context, self.options.tensor)
        mesh = init_device_mesh(self.device.type, shape, mesh_dim_names=("data", "context", "tensor"))
        return mesh.get_group("context")
