"""Gradients of weights that several processes have: added up where each has a share, and counted once in the norm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

_BUCKET = 1 << 24  # numbers that are sent at once


class Learned(NamedTuple):
    """A weight that learns.

    Args:
        copies: how many processes have this very part of it.
        over: the groups over which its gradient is to be added up, one after the other.
    """

    parameter: Parameter
    copies: int
    over: tuple[dist.ProcessGroup, ...]


def add_up(learned: Sequence[Learned]) -> None:
    """Make each gradient the sum over all that computed a share of it. One that this process had no share in is zero."""
    alike: dict[tuple[dist.ProcessGroup, ...], list[Tensor]] = {}
    for item in learned:
        if item.parameter.grad is None:
            item.parameter.grad = torch.zeros_like(item.parameter)
        alike.setdefault(item.over, []).append(item.parameter.grad)
    for over, gradients in alike.items():
        for group in over:
            if dist.get_world_size(group) > 1:
                _sum(gradients, group)


def norm(learned: Iterable[Learned], device: torch.device) -> Tensor:
    """Length of the whole gradient, over all parts of all stages; the same number on every process."""
    total = torch.zeros((), dtype=torch.float64, device=device)
    for parameter, copies, _ in learned:
        assert parameter.grad is not None
        total += torch.linalg.vector_norm(parameter.grad, dtype=torch.float64) ** 2 / copies
    dist.all_reduce(total)
    return total.sqrt()


def _sum(gradients: Sequence[Tensor], group: dist.ProcessGroup) -> None:
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        dist.all_reduce(flat, group=group)
        for gradient, summed in zip(bucket, flat.split([gradient.numel() for gradient in bucket]), strict=True):
            gradient.copy_(summed.view_as(gradient))


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for gradient in gradients:
        if bucket and sum(item.numel() for item in bucket) + gradient.numel() > _BUCKET:
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
