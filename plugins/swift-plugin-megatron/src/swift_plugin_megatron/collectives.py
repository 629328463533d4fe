"""What megatron-core does on CUDA alone, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch.autograd import Function

if TYPE_CHECKING:
    from torch import Tensor


def gather(part: Tensor, dimension: int, group: dist.ProcessGroup) -> Tensor:
    """A whole dimension on every process. Backward each takes its part of the gradient, which is the same on all of them."""
    if dist.get_world_size(group) == 1:
        return part
    found: Tensor = _Gather.apply(part, dimension, group)
    return found


def own_part(whole: Tensor, dimension: int, group: dist.ProcessGroup) -> Tensor:
    """This process's part of what is the same on all of them: the inverse way of `gather`."""
    found: Tensor = _OwnPart.apply(whole, dimension, group)
    return found


class _Gather(Function):
    @staticmethod
    def forward(context: Any, part: Tensor, dimension: int, group: dist.ProcessGroup) -> Tensor:
        context.of = dimension, group
        return _gathered(part, dimension, group)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return _chunk(gradient, *context.of), None, None


class _OwnPart(Function):
    @staticmethod
    def forward(context: Any, whole: Tensor, dimension: int, group: dist.ProcessGroup) -> Tensor:
        context.of = dimension, group
        return _chunk(whole, dimension, group)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return _gathered(gradient, *context.of), None, None


def even(size: int, group: dist.ProcessGroup) -> list[int]:
    """The numbers of rows where every process has as many."""
    return [size] * dist.get_world_size(group)


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
        return all_rows(rows, counts, group)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return own_rows(gradient, *context.of), None, None


class _ScatterRows(Function):
    @staticmethod
    def forward(context: Any, rows: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
        context.of = counts, group
        return own_rows(rows, counts, group)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return all_rows(gradient, *context.of), None, None


def all_rows(rows: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    """The rows of all processes; no gradients."""
    filled = rows.new_zeros(max(counts), *rows.shape[1:])  # one length for all, as backends want it
    filled[: len(rows)] = rows
    parts = [torch.empty_like(filled) for _ in counts]
    dist.all_gather(parts, filled, group=group)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def own_rows(rows: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    """This process's rows, added up over all; no gradients."""
    parts = list(rows.contiguous().split(list(counts)))
    if len(set(counts)) == 1:
        own = torch.empty_like(parts[0])
        dist.reduce_scatter(own, parts, group=group)
        return own
    summed = rows.contiguous().clone()
    dist.all_reduce(summed, group=group)
    return summed.split(list(counts))[dist.get_rank(group)]


def _gathered(part: Tensor, dimension: int, group: dist.ProcessGroup) -> Tensor:
    parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, part.contiguous(), group=group)
    return torch.cat(parts, dimension)


def _chunk(whole: Tensor, dimension: int, group: dist.ProcessGroup) -> Tensor:
    return whole.chunk(dist.get_world_size(group), dimension)[dist.get_rank(group)]
