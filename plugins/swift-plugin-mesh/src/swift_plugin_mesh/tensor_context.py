"""Tensor, context and data parallelism: layers are sharded by the tensor-parallel plan, then every weight over the data dimension.

`fully_shard` (FSDP2) shards over the data dimension. It is applied even if that has size 1, because it provides mixed precision: bfloat16
passes with float32 trainable weights.
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
from swift_plugin_mesh.context_parallel import ContextParallel
from swift_plugin_mesh.tensor_parallel import parallelize, plan_of
from swift_plugin_mesh.verification import placement_along, verify_sharding

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import ForwardLoss
    from torch.distributed import ProcessGroup
    from torch.nn import Module, Parameter


class TensorContextStrategy(MeshStrategy):
    """`swift_train.strategy.Strategy` with tensor, context and data parallelism, without pipeline stages."""

    context: ContextParallel | None = None
    whole_rows = False  # `swift_train.strategy.TokenSharding`

    def make_plan(self, load: Callable[[torch.device], Module]) -> None:
        """Determine the tensor-parallel plan."""
        size = self.options.tensor
        self.plan = plan_of(load(torch.device("meta")), size) if size > 1 else {}

    def shard_module(self) -> None:
        """Shard by the plan, and block by block over the data dimension."""
        fill = partial(broadcast_parameters, device=self.device)
        parallelize(self.module, self.mesh["tensor"], self.plan, fill)
        shard(self.module, self.mesh["data"], self.dtype, fill=fill)
        if self.options.context > 1:
            self.context = ContextParallel(self._context_group(), self.device)
            self.context.install(self.module, self.dtype)

    def verify_sharding(self) -> dict[str, Any]:
        """Check every placement; add the number of sharded layers and the context-parallel difference to the figures."""
        context = {"context_difference": self.context.difference} if self.context else {}
        return verify_sharding(self.module, self.plan) | {"sharded_layers": len(self.plan)} | context

    def copies_of(self, parameter: Parameter) -> int:
        """All of the tensor dimension if the parameter is replicated over it, else one."""
        return self.options.tensor if placement_along(parameter, "tensor").is_replicate() else 1

    def accumulate(self, micros: Sequence[Micro], task: ForwardLoss, weight: float, train: bool = True) -> float:
        """Run forward and backward passes, one micro-batch at a time."""
        if self.context:
            micros, task = (self.context.of_rows if self.whole_rows else self.context.of_tokens)(micros, task)
        losses = run_micro_batches(self.module, micros, task, self.device, factor=weight * self.scale.value, train=train)
        return all_reduce(losses, "sum", self.device) / self.options.tensor * weight  # tensor ranks have the same loss

    def _context_group(self) -> ProcessGroup:
        """Create the group of the processes that share the tokens of the same rows."""
        shape = (self.data_size, self.options.context, self.options.tensor)
        mesh = init_device_mesh(self.device.type, shape, mesh_dim_names=("data", "context", "tensor"))
        return mesh.get_group("context")
