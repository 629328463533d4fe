"""The Strategy contract over a mesh of pipeline × data × context × tensor processes; neighbours in the last have neighbouring ranks.

- One process reads the weights and gives them out; each keeps its part: of a layer (tensor), of the blocks (pipeline), of every
  weight (data × context, which are one dimension to the weights).
- Processes that share rows draw the same random numbers: a dropout must be the same on each of them.
- Losses and norms are sums over the mesh, divided by how many processes hold the same: so all processes see the same numbers.
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

from swift_core.errors import SwiftError, UsageError
from swift_plugin_mesh.gradients import clip_factor, scale, total_norm
from swift_plugin_mesh.sizes import data_size, misfits

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import LossTask
    from torch import Tensor
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer

    from swift_plugin_mesh.options import MeshOptions

logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)  # that gathering over two dimensions takes two steps


class MeshStrategy(ABC):
    """What any mesh has: its processes, the update, and checkpoints."""

    fixed_shapes = False
    placement: dict[str, Any]
    facts = "mesh.pt"  # the file of a checkpoint that tells what wrote it
    part = ""  # of the model, where other processes have others

    def __init__(self, options: MeshOptions) -> None:
        self.options = options
        rank, processes = rank_and_size()
        for problem in misfits(options, processes):
            raise UsageError(problem.message, where=problem.where, hint=problem.hint)
        self.data_size = data_size(options, processes)
        self.data_rank = rank // (options.tensor * options.context) % self.data_size
        self.shared_by = processes // self.data_size  # processes with the same rows
        self.writer = rank == 0
        self.device = rank_device(options.device)

    def build(self, load: Callable[[torch.device], Module], optimizer: Callable[[Module], Optimizer]) -> None:
        """Load the model, shard it, verify the sharding, and make the optimizer."""
        join(self.device, timeout=self.options.timeout)
        shape = (self.options.pipeline, self.data_size * self.options.context, self.options.tensor)
        self.mesh = init_device_mesh(self.device.type, shape, mesh_dim_names=("pipeline", "data", "tensor"))
        self.look(load)
        self.module, whole = load_on_first_rank(load, self.device)
        self.dtype = compute_dtype(self.module)
        for parameter in self.module.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        self.place()
        sizes = {"data": self.data_size, **{name: getattr(self.options, name) for name in ("context", "tensor", "pipeline")}}
        self.placement = self.verify_sharding() | sizes | {"precision": str(self.dtype).removeprefix("torch."), "loaded_whole": whole}
        self.learned = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.scale = LossScale(dynamic=self.dtype == torch.float16)
        self.optimizer = optimizer(self.module)
        self.settings = group_settings(self.optimizer)

    @abstractmethod
    def look(self, load: Callable[[torch.device], Module]) -> None:
        """Refuse a model that can't be placed, before its weights are read."""

    @abstractmethod
    def place(self) -> None:
        """Make this process's part of the loaded module."""

    @abstractmethod
    def verify_sharding(self) -> dict[str, Any]:
        """Check that it is its part alone."""

    @abstractmethod
    def held_by(self, parameter: Parameter) -> int:
        """How many processes have the same part of a parameter."""

    @abstractmethod
    def accumulate(self, micros: Sequence[Micro], task: LossTask, weight: float, train: bool = True) -> float:
        """Passes of a step."""

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Sum or largest over the parts of the rows; a barrier of all processes."""
        found = all_reduce(x, op, self.device)
        return found / self.shared_by if op == "sum" else found

    def update(self, lr: float, clip: float | None) -> Update:
        """Clip by the norm over all parts of all gradients, and step; a gradient that is not finite is forgotten."""
        set_learning_rate(self.optimizer, lr)
        parameters = [parameter for parameter in self.learned if parameter.grad is not None]
        norm = total_norm(parameters, [self.held_by(parameter) for parameter in parameters], self.device) / self.scale.value
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
        """Parameters whole, in main memory; gathered one after the other."""
        for name, parameter in self.module.named_parameters():
            if names is None or name in names:
                yield name, gathered(parameter.detach()).cpu()

    def save(self, folder: Path) -> None:
        """Each process its parts and its random states."""
        first = self.mesh["data"].get_local_rank() == self.mesh["tensor"].get_local_rank() == 0
        save_sharded(folder, self.facts, self.module, self.optimizer, **self._state(), writes=first)

    def load(self, folder: Path) -> None:
        """The inverse of `save`, on a mesh of any size with as many stages."""
        if not (folder / self.facts).is_file():
            stages = f"{self.options.pipeline} stages" if self.options.pipeline > 1 else "one stage"
            message = f"this checkpoint is not of a mesh of {stages}"
            raise SwiftError(message, where=str(folder), hint="Resume with the strategy that wrote it, and as many stages.")
        load_sharded(folder, self.facts, self.module, self.optimizer, **self._state())

    def _state(self) -> dict[str, Any]:
        return {"scale": self.scale, "settings": self.settings, "device": self.device, "part": self.part}


def gathered(tensor: Tensor) -> Tensor:
    """All of a tensor that lies in parts. Collective."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
