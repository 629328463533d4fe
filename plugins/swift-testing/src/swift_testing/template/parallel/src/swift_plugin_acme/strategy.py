"""Data parallelism with explicit all-reduce; see `swift_train.strategy` for the contract. Float32 only: no autocast, no gradient scaler.

The rendezvous uses the environment variables that launchers set (RANK, WORLD_SIZE, MASTER_ADDR, …).
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
import torch.distributed as dist
from swift_train.devices import pick_device
from swift_train.placement_report import measure_placement
from swift_train.strategy import Update

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import ForwardLoss
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_plugin_acme.options import AcmeOptions


class Acme:
    """Full replicas of the model, each with its share of the rows of a step."""

    fixed_shapes = False

    def __init__(self, options: AcmeOptions) -> None:
        self.data_rank, self.data_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        self.writer = self.data_rank == 0
        kind = pick_device(options.device)
        self.device = torch.device(kind if kind in ("cpu", "mps") else f"{kind}:{os.environ.get('LOCAL_RANK', '0')}")
        if self.data_size > 1 and not dist.is_initialized():
            dist.init_process_group(dist.get_default_backend_for_device(self.device))
            atexit.register(lambda: dist.is_initialized() and dist.destroy_process_group())

    def build(self, load: Callable[[torch.device], Module], optimizer: Callable[[Module], Optimizer]) -> None:
        """Load the model and create its optimizer."""
        self.module = load(self.device).float()
        self.trainable = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.placement = measure_placement(self.module) | {"processes": self.data_size}
        self.optimizer = optimizer(self.module)

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Return the sum or maximum of `x` over the processes."""
        total = torch.tensor(x, dtype=torch.float64, device=self.device)
        self._all_reduce(total, dist.ReduceOp.SUM if op == "sum" else dist.ReduceOp.MAX)
        return total.item()

    def accumulate(self, micros: Sequence[Micro], task: ForwardLoss, weight: float, train: bool = True) -> float:
        """Run forward and backward for each micro-batch; return the weighted loss, summed over the processes."""
        self.module.train(train)
        total = 0.0
        for micro in micros:
            moved = micro.to(self.device)
            with torch.set_grad_enabled(train):
                loss = task.loss(task.forward(self.module, moved), moved)
            if train:
                torch.autograd.backward(loss * weight)
            total += loss.item()
        return self.reduce(total, "sum") * weight

    def update(self, lr: float, clip: float | None) -> Update:
        """All-reduce and clip the gradients, and step the optimizer; non-finite gradients are discarded."""
        for parameter in self.trainable:
            if parameter.grad is not None:
                self._all_reduce(parameter.grad, dist.ReduceOp.SUM)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("mult", 1.0)
        norm = torch.nn.utils.clip_grad_norm_(self.trainable, clip or float("inf"))
        finite = bool(norm.isfinite())
        if finite:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Update(norm.item(), skipped=not finite)

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters of the module by name, optionally only those in `names`."""
        yield from ((name, weight) for name, weight in self.module.named_parameters() if names is None or name in names)

    def save(self, folder: Path) -> None:
        """Save the state for an exact resume: trainable weights and optimizer once, the random state per process."""
        if self.writer:
            weights = {name: parameter.detach() for name, parameter in self.module.named_parameters() if parameter.requires_grad}
            torch.save({"weights": weights, "optimizer": self.optimizer.state_dict()}, folder / "acme.pt")
        torch.save(torch.get_rng_state(), folder / f"random-{self.data_rank}.pt")

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote, on the same number of processes."""
        state = torch.load(folder / "acme.pt", map_location=self.device, weights_only=True)
        own = dict(self.module.named_parameters())
        with torch.no_grad():
            for name, value in state["weights"].items():
                own[name].copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(torch.load(folder / f"random-{self.data_rank}.pt", weights_only=True))

    def _all_reduce(self, tensor: Tensor, op: dist.ReduceOp.RedOpType) -> None:
        if self.data_size > 1:
            dist.all_reduce(tensor, op)
