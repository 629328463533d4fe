"""FSDP2 behind the Strategy contract: `fully_shard` cuts the model, torch.distributed.checkpoint keeps it.

- One process loads the weights into main memory; block by block they are given to the others and cut: nothing else ever holds the whole.
- The optimizer is made after the cut: made before, it would step tensors that nothing computes with.
- Weights that learn are float32; where the loaded ones are bfloat16 or float16, so are the passes, on gathered copies.
- Gradients are added up after each backward pass: kept whole until the last one, they would take as much as a whole model.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
import torch.distributed as dist
from swift_train.broadcast_loading import broadcast_parameters, load_on_first_rank
from swift_train.loss_scale import LossScale
from swift_train.ranks import all_reduce, compute_dtype, join, rank_and_size, rank_device
from swift_train.sharded_checkpoint import load_sharded, save_sharded
from swift_train.sharding import run_micro_batches, shard
from swift_train.strategy import Update
from swift_train.training_state import group_settings, set_learning_rate
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

from swift_core.errors import UsageError
from swift_plugin_fsdp.check import devices, sizes
from swift_plugin_fsdp.verification import verify_sharding

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import LossTask
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_plugin_fsdp.options import FsdpOptions

_FACTS = "fsdp.pt"


class FsdpStrategy:
    """`swift_train.strategy.Strategy` over a model that is cut."""

    fixed_shapes = False

    def __init__(self, options: FsdpOptions) -> None:
        self.options = options
        self.data_rank, self.data_size = rank_and_size()
        self.writer = self.data_rank == 0
        self.device = rank_device(options.device)
        for problem in (*sizes(self.data_size, options.shard_size), *devices(self.device.type, offload=options.offload)):
            raise UsageError(problem.message, where=problem.where, hint=problem.hint)  # of processes that are others than the run's

    def build(self, load: Callable[[torch.device], Module], optimizer: Callable[[Module], Optimizer]) -> None:
        """Load the model, shard it, verify the sharding, and make the optimizer."""
        self.mesh = _mesh(self.device, self.data_size, self.options)
        self.module, whole = load_on_first_rank(load, self.device)
        self.dtype = compute_dtype(self.module)
        for parameter in self.module.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        shard(
            self.module, self.mesh, self.dtype, wrap=self.options.wrap, reshard_after_forward=self.options.reshard_after_forward,
            reduce_dtype=getattr(torch, self.options.reduce_dtype), offload=self.options.offload,
            fill=partial(broadcast_parameters, device=self.device),
        )  # fmt: skip
        self.placement = verify_sharding(self.module, self.mesh, self.dtype) | {"loaded_whole": whole}
        self.learned = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.scale = LossScale(dynamic=self.dtype == torch.float16)
        self.optimizer = optimizer(self.module)
        self.settings = group_settings(self.optimizer)

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Sum or largest over the processes."""
        return all_reduce(x, op, self.device)

    def accumulate(self, micros: Sequence[Micro], task: LossTask, weight: float, train: bool = True) -> float:
        """Forward and backward, one micro-batch after another."""
        losses = run_micro_batches(self.module, micros, task, self.device, factor=weight * self.scale.value, train=train)
        return self.reduce(losses, "sum") * weight

    def update(self, lr: float, clip: float | None) -> Update:
        """Clip by the norm over all parts of all gradients, and step; a gradient that is not finite is forgotten."""
        set_learning_rate(self.optimizer, lr)
        gradients = [parameter.grad for parameter in self.learned if parameter.grad is not None]
        if self.scale.value != 1.0:
            torch._foreach_mul_(gradients, 1 / self.scale.value)
        norm = _whole(torch.nn.utils.get_total_norm(gradients))
        finite = bool(norm.isfinite())
        if finite and clip:
            torch.nn.utils.clip_grads_with_norm_(self.learned, clip, norm)
        if finite:
            self.optimizer.step()
        self.scale.update(finite=finite)
        self.optimizer.zero_grad(set_to_none=True)
        return Update(norm.item(), skipped=not finite)

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Parameters whole, in main memory; gathered one after the other."""
        for name, parameter in self.module.named_parameters():
            if names is not None and name not in names:
                continue
            whole = _whole(parameter.detach())
            yield name, whole.cpu() if self.writer else whole

    def save(self, folder: Path) -> None:
        """Each process its parts and its random states."""
        save_sharded(
            folder, _FACTS, self.module, self.optimizer, scale=self.scale, settings=self.settings, device=self.device, writes=self.writer
        )

    def load(self, folder: Path) -> None:
        """The inverse of `save`, on any number of processes."""
        load_sharded(folder, _FACTS, self.module, self.optimizer, scale=self.scale, settings=self.settings, device=self.device)


def _mesh(device: torch.device, processes: int, options: FsdpOptions) -> DeviceMesh:
    """The processes in a row, or in groups that each hold a copy."""
    own = dist.get_default_backend_for_device(device)
    join(device, f"cpu:gloo,{device.type}:{own}" if options.offload else "", options.timeout)
    size = options.shard_size or processes
    if size == processes:
        return init_device_mesh(device.type, (processes,), mesh_dim_names=("shard",))
    return init_device_mesh(device.type, (processes // size, size), mesh_dim_names=("replicate", "shard"))


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
