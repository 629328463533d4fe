"""FSDP2 behind the Strategy contract: `fully_shard` shards the model, `torch.distributed.checkpoint` saves it.

- One process reads the weights into main memory; they are broadcast and sharded block by block, so no other process ever holds the
  whole model.
- The optimizer is created after sharding: created before, it would update tensors that the model no longer uses.
- Trainable weights are float32. If the model was loaded in bfloat16 or float16, the passes run in that type on gathered copies.
- Gradients are reduce-scattered after each backward pass: unsharded gradients would take as much memory as the whole model.
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

from swift_core.contract import UsageError
from swift_plugin_fsdp.check import check_device, check_shard_size
from swift_plugin_fsdp.packed_weights import shardable
from swift_plugin_fsdp.verification import verify_sharding

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import ForwardLoss
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_plugin_fsdp.options import FsdpOptions

_METADATA = "fsdp.pt"


class FsdpStrategy:
    """`swift_train.strategy.Strategy` over FSDP2."""

    fixed_shapes = False

    def __init__(self, options: FsdpOptions) -> None:
        self.options = options
        self.data_rank, self.data_size = rank_and_size()
        self.writer = self.data_rank == 0
        self.device = rank_device(options.device)
        # Checked again: the number of processes may differ from the run's.
        for problem in (*check_shard_size(self.data_size, options.shard_size), *check_device(self.device.type, offload=options.offload)):
            raise UsageError(problem.message, code=problem.code, where=problem.where, hint=problem.hint)

    def build(self, load: Callable[[torch.device], Module], optimizer: Callable[[Module], Optimizer]) -> None:
        """Load the model, shard it, verify the sharding, and make the optimizer."""
        self.mesh = _mesh(self.device, self.data_size, self.options)
        self.module, full_readers = load_on_first_rank(load, self.device)
        self.dtype = compute_dtype(self.module)
        shardable(self.module, self.dtype, self.device)
        for parameter in self.module.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        shard(
            self.module, self.mesh, self.dtype, wrap=self.options.wrap, reshard_after_forward=self.options.reshard_after_forward,
            reduce_dtype=getattr(torch, self.options.reduce_dtype), offload=self.options.offload,
            fill=partial(broadcast_parameters, device=self.device),
        )  # fmt: skip
        self.placement = verify_sharding(self.module, self.mesh, self.dtype) | {"full_readers": full_readers}
        self.trainable = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.scale = LossScale(dynamic=self.dtype == torch.float16)
        self.optimizer = optimizer(self.module)
        self.settings = group_settings(self.optimizer)

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Reduce a number over the processes."""
        return all_reduce(x, op, self.device)

    def accumulate(self, micros: Sequence[Micro], task: ForwardLoss, weight: float, train: bool = True) -> float:
        """Run forward and backward passes, one micro-batch at a time."""
        losses = run_micro_batches(self.module, micros, task, self.device, factor=weight * self.scale.value, train=train)
        return self.reduce(losses, "sum") * weight

    def update(self, lr: float, clip: float | None) -> Update:
        """Clip by the global gradient norm and step; if the norm is not finite, discard the gradients and skip the step."""
        set_learning_rate(self.optimizer, lr)
        gradients = [parameter.grad for parameter in self.trainable if parameter.grad is not None]
        if self.scale.value != 1.0:
            torch._foreach_mul_(gradients, 1 / self.scale.value)
        norm = _full(torch.nn.utils.get_total_norm(gradients))
        finite = bool(norm.isfinite())
        if finite and clip:
            torch.nn.utils.clip_grads_with_norm_(self.trainable, clip, norm)
        if finite:
            self.optimizer.step()
        self.scale.update(finite=finite)
        self.optimizer.zero_grad(set_to_none=True)
        return Update(norm.item(), skipped=not finite)

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Yield full parameters, gathered one at a time; the writer's are in main memory."""
        for name, parameter in self.module.named_parameters():
            if names is not None and name not in names:
                continue
            full = _full(parameter.detach())
            yield name, full.cpu() if self.writer else full

    def save(self, folder: Path) -> None:
        """Write this process's shards and random states. Collective."""
        save_sharded(
            folder, _METADATA, self.module, self.optimizer, scale=self.scale, settings=self.settings, device=self.device, writes=self.writer
        )

    def load(self, folder: Path) -> None:
        """Read what `save` wrote, on any number of processes. Collective."""
        load_sharded(folder, _METADATA, self.module, self.optimizer, scale=self.scale, settings=self.settings, device=self.device)


def _mesh(device: torch.device, processes: int, options: FsdpOptions) -> DeviceMesh:
    """Return a 1-D mesh, or a 2-D mesh of replicas × shards for hybrid sharding."""
    backend = dist.get_default_backend_for_device(device)
    join(device, f"cpu:gloo,{device.type}:{backend}" if options.offload else "", options.timeout)
    size = options.shard_size or processes
    if size == processes:
        return init_device_mesh(device.type, (processes,), mesh_dim_names=("shard",))
    return init_device_mesh(device.type, (processes // size, size), mesh_dim_names=("replicate", "shard"))


def _full(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
