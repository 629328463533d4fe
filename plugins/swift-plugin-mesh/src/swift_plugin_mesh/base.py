"""The Strategy contract over a mesh of pipeline × data × context × tensor processes; tensor ranks are adjacent.

- One process reads the weights and broadcasts them; each keeps its shard: of a layer (tensor), of the blocks (pipeline), of every
  weight (data × context, which form one mesh dimension for the weights).
- Processes that share rows draw the same random numbers: dropout must be the same on each of them.
- Losses and norms are sums over the mesh, divided by the number of processes that hold the same value, so that all processes see the
  same numbers.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from swift_train.broadcast_loading import load_on_first_rank
from swift_train.loss_scale import LossScale
from swift_train.ranks import all_reduce, compute_dtype, join, rank_and_size, rank_device
from swift_train.sharded_checkpoint import load_sharded, save_sharded
from swift_train.strategy import Update
from swift_train.training_state import group_settings, set_learning_rate
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from swift_core.contract import SwiftError, UsageError
from swift_plugin_mesh.gradients import clip_factor, scale, total_norm
from swift_plugin_mesh.sizes import data_size, size_problems

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import ForwardLoss
    from torch import Tensor
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer

    from swift_plugin_mesh.options import MeshOptions

# silence the warning that gathering over two mesh dimensions takes two steps
logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)


class MeshStrategy(ABC):
    """The base of every mesh strategy: processes, update and checkpoints."""

    fixed_shapes = False
    placement: dict[str, Any]
    metadata = "mesh.pt"  # the checkpoint file that identifies the strategy that wrote it
    part = ""  # suffix of this pipeline stage's checkpoint files

    def __init__(self, options: MeshOptions) -> None:
        self.options = options
        rank, processes = rank_and_size()
        for problem in size_problems(options, processes):
            raise UsageError(problem.message, code=problem.code, where=problem.where, hint=problem.hint)
        self.data_size = data_size(options, processes)
        self.data_rank = rank // (options.tensor * options.context) % self.data_size
        self.ranks_per_row = processes // self.data_size  # processes with the same rows
        self.writer = rank == 0
        self.device = rank_device(options.device)

    def build(self, load: Callable[[torch.device], Module], optimizer: Callable[[Module], Optimizer]) -> None:
        """Load the model, shard it, verify the sharding, and make the optimizer."""
        join(self.device, timeout=self.options.timeout)
        shape = (self.options.pipeline, self.data_size * self.options.context, self.options.tensor)
        self.mesh = init_device_mesh(self.device.type, shape, mesh_dim_names=("pipeline", "data", "tensor"))
        self.make_plan(load)
        self.module, full_readers = load_on_first_rank(load, self.device)
        self.dtype = compute_dtype(self.module)
        for parameter in self.module.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        self.shard_module()
        sizes = {"data": self.data_size, **{name: getattr(self.options, name) for name in ("context", "tensor", "pipeline")}}
        loaded = {"precision": str(self.dtype).removeprefix("torch."), "full_readers": full_readers}
        self.placement = self.verify_sharding() | sizes | loaded
        self.trainable = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.scale = LossScale(dynamic=self.dtype == torch.float16)
        self.optimizer = optimizer(self.module)
        self.settings = group_settings(self.optimizer)

    @abstractmethod
    def make_plan(self, load: Callable[[torch.device], Module]) -> None:
        """Decide how the model is sharded, from its meta-device copy; raise UsageError if it can't be, before its weights are read."""

    @abstractmethod
    def shard_module(self) -> None:
        """Keep this process's shards of the loaded module."""

    @abstractmethod
    def verify_sharding(self) -> dict[str, Any]:
        """Check that this process holds its shards only; return the figures for the run's record."""

    @abstractmethod
    def copies_of(self, parameter: Parameter) -> int:
        """Return how many processes hold the same shard of a parameter."""

    @abstractmethod
    def accumulate(self, micros: Sequence[Micro], task: ForwardLoss, weight: float, train: bool = True) -> float:
        """Run the passes of a step."""

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Reduce a number over the data ranks; a barrier of all processes."""
        result = all_reduce(x, op, self.device)
        return result / self.ranks_per_row if op == "sum" else result

    def update(self, lr: float, clip: float | None) -> Update:
        """Clip by the global gradient norm and step; if the norm is not finite, discard the gradients and skip the step."""
        set_learning_rate(self.optimizer, lr)
        parameters = [parameter for parameter in self.trainable if parameter.grad is not None]
        norm = total_norm(parameters, [self.copies_of(parameter) for parameter in parameters], self.device) / self.scale.value
        finite = norm < float("inf")
        factor = (clip_factor(norm, clip) if clip else 1.0) / self.scale.value
        if finite and factor != 1.0:
            scale(parameters, factor)
        if finite:
            self.optimizer.step()
        self.scale.update(finite=finite)
        self.optimizer.zero_grad(set_to_none=True)
        return Update(norm, skipped=not finite)

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Yield full parameters in main memory, gathered one at a time."""
        for name, parameter in self.module.named_parameters():
            if names is None or name in names:
                yield name, full(parameter.detach()).cpu()

    def save(self, folder: Path) -> None:
        """Write this process's shards and random states. Collective."""
        first = self.mesh["data"].get_local_rank() == self.mesh["tensor"].get_local_rank() == 0
        save_sharded(folder, self.metadata, self.module, self.optimizer, **self._state(), writes=first)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote, on a mesh of any size with the same number of stages. Collective."""
        if not (folder / self.metadata).is_file():
            stages = f"{self.options.pipeline} stages" if self.options.pipeline > 1 else "one stage"
            message = f"this checkpoint was not written by a mesh of {stages}"
            raise SwiftError(
                message,
                code="PARALLEL-040",
                where=str(folder),
                hint="Resume with the strategy that wrote it and the same --parallel.pipeline.",
            )
        load_sharded(folder, self.metadata, self.module, self.optimizer, **self._state())

    def _state(self) -> dict[str, Any]:
        return {"scale": self.scale, "settings": self.settings, "device": self.device, "part": self.part}


def full(tensor: Tensor) -> Tensor:
    """Return the full tensor of a DTensor; any other tensor as it is. Collective."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
