"""Gradients of weights that several processes hold: summed over partial gradients, and counted once in the norm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

_BUCKET = 1 << 24  # elements per all-reduce


class TrainableShard(NamedTuple):
    """This process's shard of a trainable weight.

    Args:
        copies: number of processes that hold the same shard.
        groups: the groups over which its gradient is summed, in this order.
    """

    parameter: Parameter
    copies: int
    groups: tuple[dist.ProcessGroup, ...]


def reduce_gradients(trainable: Sequence[TrainableShard]) -> None:
    """Sum each gradient over its groups, in place; a gradient that this process has not computed counts as zero. Collective."""
    by_groups: dict[tuple[dist.ProcessGroup, ...], list[Tensor]] = {}
    for item in trainable:
        if item.parameter.grad is None:
            item.parameter.grad = torch.zeros_like(item.parameter)
        by_groups.setdefault(item.groups, []).append(item.parameter.grad)
    for groups, gradients in by_groups.items():
        for group in groups:
            if dist.get_world_size(group) > 1:
                _all_reduce(gradients, group)


def gradient_norm(trainable: Iterable[TrainableShard], device: torch.device) -> Tensor:
    """Return the global gradient norm over all shards of all stages, the same on every process. Collective."""
    total = torch.zeros((), dtype=torch.float64, device=device)
    for parameter, copies, _ in trainable:
        assert parameter.grad is not None
        total += torch.linalg.vector_norm(parameter.grad, dtype=torch.float64) ** 2 / copies
    dist.all_reduce(total)
    return total.sqrt()


def _all_reduce(gradients: Sequence[Tensor], group: dist.ProcessGroup) -> None:
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        dist.all_reduce(flat, group=group)
        for gradient, total in zip(bucket, torch.split(flat, [gradient.numel() for gradient in bucket]), strict=True):
            gradient.copy_(total.view_as(gradient))


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for gradient in gradients:
        if bucket and sum(item.numel() for item in bucket) + gradient.numel() > _BUCKET:
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
