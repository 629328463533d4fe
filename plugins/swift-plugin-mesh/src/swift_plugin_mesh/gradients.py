"""The norm of a gradient whose parts lie over a mesh: each part counts once, however many processes have a copy of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

_TINY = 1e-6  # torch's, against a division by zero


def local(tensor: Tensor) -> Tensor:
    """This process's part, on the same memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def total_norm(parameters: Sequence[Parameter], copies: Sequence[int], device: torch.device) -> float:
    """Norm over all gradients of all processes. Collective.

    Args:
        parameters: those of this process that have gradients.
        copies: how many processes have the same part of each.
    """
    total = torch.zeros((), dtype=torch.float64, device=device)
    for count in sorted(set(copies)):
        parts = [
            local(parameter.grad)
            for parameter, held in zip(parameters, copies, strict=True)
            if held == count and parameter.grad is not None
        ]
        total += torch.stack(torch._foreach_norm(parts)).double().square().sum() / count
    dist.all_reduce(total)
    return total.sqrt().item()


def scale(parameters: Sequence[Parameter], factor: float) -> None:
    """Multiply all gradients by a number."""
    torch._foreach_mul_([local(parameter.grad) for parameter in parameters if parameter.grad is not None], factor)


def clip_factor(norm: float, longest: float) -> float:
    """What makes a gradient of that norm at most so long."""
    return min(1.0, longest / (norm + _TINY))
