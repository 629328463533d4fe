"""Weights for evaluations and checkpoints where the optimizer keeps an average of them beside those that it trains (Schedule-Free)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from swift_train.roles import AveragingOptimizer

if TYPE_CHECKING:
    from torch.optim import Optimizer


@contextmanager
def averaged_weights(optimizer: Optimizer) -> Iterator[None]:
    """While the context lasts, the model has the average; the weights are then restored exactly, from copies."""
    if not isinstance(optimizer, AveragingOptimizer):
        yield
        return
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    copies = [weight.detach().clone() for weight in weights]
    optimizer.eval()
    try:
        yield
    finally:
        optimizer.train()
        with torch.no_grad():
            for weight, copy in zip(weights, copies, strict=True):
                weight.copy_(copy)
