"""The kinds of `swift_plugin_megatron.maps` on tensors: shard weights, fuse them into megatron-core's, and the inverse of both.

Weights of transformers are sharded first and fused then, so that each process has complete parts: of q, k and v those of its heads, of gate
and up its columns. The inverse is bit-exact, since nothing is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from swift_plugin_megatron.maps import Kind

_OUTPUT_SHARDED = ("column", "vocabulary", "gated", "qkv")


class Heads(NamedTuple):
    """Number of query heads, number of key-value heads (groups of query heads), and the dimension of a head."""

    query: int
    key: int
    dim: int


def shard_dimension(kind: Kind, dimensions: int) -> int | None:
    """Return the dimension that tensor parallelism shards; None if the weight is replicated."""
    if kind in _OUTPUT_SHARDED:
        return 0
    return 1 if kind == "row" and dimensions > 1 else None


def padded_size(size: int, kind: Kind, shards: int) -> int:
    """Return the size of the sharded dimension, padded to a multiple of `shards` if the kind allows padding."""
    return -(-size // shards) * shards if kind == "vocabulary" else size


def shard(weight: Tensor, kind: Kind, rank: int, ranks: int) -> Tensor:
    """Return a tensor-parallel rank's shard of a weight."""
    dimension = shard_dimension(kind, weight.ndim)
    if dimension is None or ranks == 1:
        return weight
    if missing := padded_size(weight.shape[0], kind, ranks) - weight.shape[0]:
        weight = torch.cat([weight, weight.new_zeros(missing, *weight.shape[1:])])
    return weight.chunk(ranks, dimension)[rank]


def unshard(shards: Sequence[Tensor], kind: Kind, size: int) -> Tensor:
    """Return the full weight, without padding; `size` is the size of its first dimension."""
    dimension = shard_dimension(kind, shards[0].ndim)
    return shards[0] if dimension is None else torch.cat(list(shards), dimension)[:size]


def fuse(parts: Sequence[Tensor], kind: Kind, heads: Heads) -> Tensor:
    """Return megatron-core's weight, fused from those of transformers: full weights, or shards of the same process."""
    if kind != "qkv":
        return parts[0] if len(parts) == 1 else torch.cat(list(parts))
    counts = _heads_per_group(heads)
    grouped = [part.reshape(-1, count * heads.dim, *part.shape[1:]) for part, count in zip(parts, counts, strict=True)]
    return torch.cat(grouped, 1).flatten(0, 1)


def unfuse(weight: Tensor, kind: Kind, heads: Heads, parts: int) -> Sequence[Tensor]:
    """Return the weights that `fuse` joined."""
    if kind != "qkv":
        return weight.chunk(parts)
    sizes = [count * heads.dim for count in _heads_per_group(heads)]
    grouped = torch.split(weight.reshape(-1, sum(sizes), *weight.shape[1:]), sizes, 1)
    return [part.flatten(0, 1) for part in grouped]


def fused_sizes(size: int, kind: Kind, heads: Heads, parts: int) -> list[int]:
    """Return how much of the first dimension of a fused weight each of its parts has."""
    if kind != "qkv":
        return [size // parts] * parts
    return [count * heads.key * heads.dim for count in _heads_per_group(heads)]


def _heads_per_group(heads: Heads) -> tuple[int, int, int]:
    """Heads of query, key and value in a group."""
    return heads.query // heads.key, 1, 1
