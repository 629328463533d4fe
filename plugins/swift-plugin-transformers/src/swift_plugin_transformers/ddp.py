"""Data parallelism: one model replica per process, gradients averaged by torch's DistributedDataParallel (gloo, nccl, …).

A single process is not wrapped. Processes find each other by torchrun's variables (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, …).
Trainable weights are kept in float32; if they were loaded in bfloat16 or float16, forward and backward run under autocast, with loss
scaling for float16. Method: Li et al. 2020, https://arxiv.org/abs/2006.15704
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from swift_train.placement_report import measure_placement
from swift_train.ranks import all_reduce, compute_dtype, join, load_rng_states, rank_and_size, rank_device, save_rng_states
from swift_train.strategy import Update
from swift_train.training_state import group_settings, load_optimizer, load_weights, save_tensors, set_learning_rate
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import ForwardLoss
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_plugin_transformers.ddp_options import DdpOptions


class DdpStrategy:
    """Data-parallel `swift_train.strategy.Strategy`: every rank has a full replica of the model."""

    fixed_shapes = False

    def __init__(self, options: DdpOptions) -> None:
        self.data_rank, self.data_size = rank_and_size()
        self.writer = self.data_rank == 0
        self.device = rank_device(options.device)
        if self.data_size > 1:
            join(self.device, timeout=options.timeout)

    def build(self, load: Callable[[torch.device], Module], optimizer: Callable[[Module], Optimizer]) -> None:
        """Load and wrap the model, and create the optimizer."""
        self.module = load(self.device)
        self.trainable = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.dtype = compute_dtype(self.module)
        for parameter in self.trainable:
            parameter.data = parameter.data.float()
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.engine: Module = self.module
        if self.data_size > 1:
            # find_unused_parameters keeps the gradient buckets fixed. Without it DDP rebuilds them after the first step, and a resumed
            # run would sum gradients in another order than an uninterrupted one.
            self.engine = DistributedDataParallel(self.module, broadcast_buffers=False, find_unused_parameters=True)
        assert isinstance(self.engine, DistributedDataParallel) == (self.data_size > 1)
        self.placement = measure_placement(self.engine) | {"processes": self.data_size, "precision": str(self.dtype).removeprefix("torch.")}
        self.optimizer = optimizer(self.module)
        self.settings = group_settings(self.optimizer)

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Return the sum or maximum over the ranks."""
        return all_reduce(x, op, self.device)

    def accumulate(self, micros: Sequence[Micro], task: ForwardLoss, weight: float, train: bool = True) -> float:
        """Accumulate gradients over the micro-batches of a step; they are all-reduced in the last backward pass only.

        Returns:
            The weighted loss, summed over all ranks.
        """
        self.engine.train(train)
        losses = []
        for index, micro in enumerate(micros):
            moved = micro.to(self.device)
            with self._gradient_sync(train and index == len(micros) - 1), torch.set_grad_enabled(train), self._autocast():
                loss = task.loss(task.forward(self.engine, moved), moved)
            if train:
                scaled: Tensor = self.scaler.scale(loss * (weight * self.data_size))  # DDP divides by the number of ranks
                torch.autograd.backward(scaled)
            losses.append(loss.detach())
        return self.reduce(sum(loss.item() for loss in losses), "sum") * weight

    def update(self, lr: float, clip: float | None) -> Update:
        """Clip gradients and step the optimizer; the step is skipped if the gradient norm is not finite."""
        set_learning_rate(self.optimizer, lr)
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in self.trainable if parameter.grad is not None])
        finite = bool(norm.isfinite())
        if finite and clip:
            torch.nn.utils.clip_grads_with_norm_(self.trainable, clip, norm)
        if finite or self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return Update(norm.item(), skipped=not finite)

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Yield names and parameters of the module; every rank has all of them."""
        yield from ((name, weight) for name, weight in self.module.named_parameters() if names is None or name in names)

    def save(self, folder: Path) -> None:
        """Save trainable weights, optimizer and loss scaler once, and the random states of each rank."""
        if self.writer:
            weights = {name: parameter.detach() for name, parameter in self.module.named_parameters() if parameter.requires_grad}
            optimizer = {"optimizer": self.optimizer.state_dict(), "settings": self.settings}
            save_tensors(folder / "training.pt", {"weights": weights, **optimizer, "scaler": self.scaler.state_dict()})
        save_rng_states(folder, self.device)

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote, on any number of ranks."""
        state = torch.load(folder / "training.pt", map_location=self.device, weights_only=True)
        load_weights(self.module, state["weights"])
        load_optimizer(self.optimizer, state["optimizer"], state["settings"], self.settings)
        self.scaler.load_state_dict(state["scaler"])
        load_rng_states(folder, self.device)

    def _gradient_sync(self, enabled: bool) -> AbstractContextManager[Any]:
        return nullcontext() if enabled or not isinstance(self.engine, DistributedDataParallel) else self.engine.no_sync()

    def _autocast(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.dtype == torch.float32 else torch.autocast(self.device.type, self.dtype)
