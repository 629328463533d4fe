"""Gradient norm and clipping over a mesh: a shard counts once, however many processes have a copy of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

_EPSILON = 1e-6  # as torch.nn.utils.clip_grad_norm_, against division by zero


def local(tensor: Tensor) -> Tensor:
    """Return this process's shard of a DTensor, sharing its memory; any other tensor as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def total_norm(parameters: Sequence[Parameter], copies: Sequence[int], device: torch.device) -> float:
    """Return the global gradient norm. Collective.

    Args:
        parameters: this process's parameters that have gradients.
        copies: how many processes hold the same shard of each.
    """
    total = torch.zeros((), dtype=torch.float64, device=device)
    for count in sorted(set(copies)):
        shards = [
            local(parameter.grad)
            for parameter, held in zip(parameters, copies, strict=True)
            if held == count and parameter.grad is not None
        ]
        total += torch.stack(torch._foreach_norm(shards)).double().square().sum() / count
    dist.all_reduce(total)
    return total.sqrt().item()


def scale(parameters: Sequence[Parameter], factor: float) -> None:
    """Multiply all gradients by a factor, in place."""
    torch._foreach_mul_([local(parameter.grad) for parameter in parameters if parameter.grad is not None], factor)


def clip_factor(norm: float, maximum: float) -> float:
    """Return the factor that clips a gradient of this norm to the maximum norm."""
    return min(1.0, maximum / (norm + _EPSILON))
