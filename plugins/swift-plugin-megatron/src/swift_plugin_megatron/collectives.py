"""What megatron-core does on CUDA alone, on any device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch.autograd import Function

if TYPE_CHECKING:
    from torch import Tensor


def gather_outputs(part: Tensor, group: dist.ProcessGroup) -> Tensor:
    """The whole last dimension on every process. Backward each takes its part of the gradient, which is the same on all of them."""
    if dist.get_world_size(group) == 1:
        return part
    found: Tensor = _Gather.apply(part, group)
    return found


class _Gather(Function):
    @staticmethod
    def forward(context: Any, part: Tensor, group: dist.ProcessGroup) -> Tensor:
        context.group = group
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size(group))]
        dist.all_gather(parts, part.contiguous(), group=group)
        return torch.cat(parts, -1)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        parts = gradient.chunk(dist.get_world_size(context.group), -1)
        return parts[dist.get_rank(context.group)], None
