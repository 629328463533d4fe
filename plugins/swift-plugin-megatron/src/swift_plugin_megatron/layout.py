"""The kinds of `swift_plugin_megatron.maps` on tensors: cut a weight, join parts into megatron-core's, and the way back.

A weight of transformers is cut first and joined then, so that what a process holds is made of its own parts alone: of q, k and v those
of its heads, of gate and up its columns. The way back is exact to the bit: nothing is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from swift_plugin_megatron.maps import Kind

_BY_OUTPUTS = ("column", "vocabulary", "gated", "qkv")


class Heads(NamedTuple):
    """Query heads, key heads (groups of query heads), and numbers a head."""

    query: int
    key: int
    width: int


def cut_dimension(kind: Kind, dimensions: int) -> int | None:
    """The dimension in which the processes of a tensor group cut a weight; None where each has it whole."""
    if kind in _BY_OUTPUTS:
        return 0
    return 1 if kind == "row" and dimensions > 1 else None


def padded(size: int, kind: Kind, parts: int) -> int:
    """The length of a dimension to cut, filled up where the kind allows it."""
    return -(-size // parts) * parts if kind == "vocabulary" else size


def cut(weight: Tensor, kind: Kind, rank: int, ranks: int) -> Tensor:
    """The part of a weight that a process of a tensor group holds."""
    dimension = cut_dimension(kind, weight.ndim)
    if dimension is None or ranks == 1:
        return weight
    if missing := padded(weight.shape[0], kind, ranks) - weight.shape[0]:
        weight = torch.cat([weight, weight.new_zeros(missing, *weight.shape[1:])])
    return weight.chunk(ranks, dimension)[rank]


def whole(parts: Sequence[Tensor], kind: Kind, size: int) -> Tensor:
    """A weight from the parts of a tensor group's processes, without what it was filled up with; `size` is its first dimension's."""
    dimension = cut_dimension(kind, parts[0].ndim)
    return parts[0] if dimension is None else torch.cat(list(parts), dimension)[:size]


def join(parts: Sequence[Tensor], kind: Kind, heads: Heads) -> Tensor:
    """One weight of megatron-core from those of transformers, whole ones or parts of the same process."""
    if kind != "qkv":
        return parts[0] if len(parts) == 1 else torch.cat(list(parts))
    grouped = [part.reshape(-1, count * heads.width, *part.shape[1:]) for part, count in zip(parts, _counts(heads), strict=True)]
    return torch.cat(grouped, 1).flatten(0, 1)


def split(weight: Tensor, kind: Kind, heads: Heads, parts: int) -> Sequence[Tensor]:
    """The inverse of `join`."""
    if kind != "qkv":
        return weight.chunk(parts)
    rows = [count * heads.width for count in _counts(heads)]
    grouped = weight.unflatten(0, (-1, sum(rows))).split(rows, 1)
    return [part.flatten(0, 1) for part in grouped]


def widths(size: int, kind: Kind, heads: Heads, parts: int) -> list[int]:
    """How much of the first dimension of a joined weight each part has."""
    if kind != "qkv":
        return [size // parts] * parts
    return [count * heads.key * heads.width for count in _counts(heads)]


def _counts(heads: Heads) -> tuple[int, int, int]:
    """Heads of query, key and value in a group."""
    return heads.query // heads.key, 1, 1
