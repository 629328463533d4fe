"""What megatron-core does on CUDA alone, on any device."""

from __future__ import annotations

from collections.abc import Sequence
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


def gather_rows(rows: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    """The rows of all processes, of which each has its own number; backward, the gradients of this process's, added up over all."""
    found: Tensor = _GatherRows.apply(rows, counts, group)
    return found


def scatter_rows(rows: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    """Of rows that are added up over all processes, those of this one: the inverse way of `gather_rows`."""
    found: Tensor = _ScatterRows.apply(rows, counts, group)
    return found


class _GatherRows(Function):
    @staticmethod
    def forward(context: Any, rows: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
        context.of = counts, group
        return _all_rows(rows, counts, group)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return _own_rows(gradient, *context.of), None, None


class _ScatterRows(Function):
    @staticmethod
    def forward(context: Any, rows: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
        context.of = counts, group
        return _own_rows(rows, counts, group)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return _all_rows(gradient, *context.of), None, None


def _all_rows(rows: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    filled = rows.new_zeros(max(counts), *rows.shape[1:])  # one length for all, as backends want it
    filled[: len(rows)] = rows
    parts = [torch.empty_like(filled) for _ in counts]
    dist.all_gather(parts, filled, group=group)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def _own_rows(rows: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    summed = rows.contiguous().clone()
    dist.all_reduce(summed, group=group)
    return summed.split(list(counts))[dist.get_rank(group)]
