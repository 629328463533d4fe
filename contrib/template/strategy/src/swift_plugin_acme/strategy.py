"""See the rules in `swift_train.strategy`; with one process most of them are short. Weights are float32: no autocast, no scaler."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from swift_train.devices import pick_device
from swift_train.strategy import Update

from swift_core.errors import UsageError

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import LossTask
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_plugin_acme.options import AcmeOptions


class Acme:
    """One process."""

    data_rank, data_size, writer, fixed_shapes = 0, 1, True, False

    def __init__(self, options: AcmeOptions) -> None:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UsageError("the strategy 'acme' is for one process", where="parallel", hint="Use --parallel ddp for several.")
        self.device = torch.device(pick_device(options.device))

    def build(self, load: Callable[[torch.device], Module], optimizer: Callable[[Module], Optimizer]) -> None:
        """Load the model, and make its optimizer."""
        self.module = load(self.device).float()
        self.learned = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.optimizer = optimizer(self.module)

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Over one process a sum is the number itself."""
        return x

    def accumulate(self, micros: Sequence[Micro], task: LossTask, weight: float, train: bool = True) -> float:
        """Forward and backward, one micro-batch after another."""
        self.module.train(train)
        total = 0.0
        for micro in micros:
            moved = micro.to(self.device)
            with torch.set_grad_enabled(train):
                loss = task.loss(task.forward(self.module, moved), moved)
            if train:
                (loss * weight).backward()
            total += loss.item()
        return total * weight

    def update(self, lr: float, clip: float | None) -> Update:
        """Clip and step; a gradient that is not finite is forgotten."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("mult", 1.0)
        norm = torch.nn.utils.clip_grad_norm_(self.learned, clip or float("inf"))
        finite = bool(norm.isfinite())
        if finite:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Update(norm.item(), skipped=not finite)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The module's own parameters."""
        yield from self.module.named_parameters()

    def save(self, folder: Path) -> None:
        """What an exact resume needs: learned weights, optimizer, random state."""
        weights = {name: parameter.detach() for name, parameter in self.module.named_parameters() if parameter.requires_grad}
        torch.save({"weights": weights, "optimizer": self.optimizer.state_dict(), "random": torch.get_rng_state()}, folder / "acme.pt")

    def load(self, folder: Path) -> None:
        """The inverse of `save`."""
        state = torch.load(folder / "acme.pt", map_location=self.device, weights_only=True)
        own = dict(self.module.named_parameters())
        with torch.no_grad():
            for name, value in state["weights"].items():
                own[name].copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"].cpu())
