"""Lion. Source: Chen et al. 2023, https://arxiv.org/abs/2302.06675, algorithm 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from swift_plugin_acme.options import AcmeOptions


class Acme:
    """Builds the optimizer of a training."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options

    def build(self, groups: Sequence[Mapping[str, Any]], lr: float) -> Optimizer:
        """Return the optimizer; each group keeps its other entries, such as `mult`, by which the schedule multiplies the learning rate."""
        return Lion(groups, lr, self.options)


class Lion(Optimizer):
    """The optimizer. Its state is one momentum per parameter."""

    def __init__(self, groups: Sequence[Mapping[str, Any]], lr: float, options: AcmeOptions) -> None:
        settings = {"lr": lr, "betas": (options.beta1, options.beta2), "weight_decay": options.weight_decay}
        super().__init__([dict(group) for group in groups], settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = closure() if closure else None
        for group in self.param_groups:
            lr, (beta1, beta2) = group["lr"], group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                parameter.mul_(1 - lr * group["weight_decay"])
                parameter.add_(torch.lerp(parameter.grad, momentum, beta1).sign_(), alpha=-lr)
                momentum.lerp_(parameter.grad, 1 - beta2)
        return loss
