"""Differentiable collectives on any device; megatron-core's own run on CUDA only. Tokens are the first dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch.autograd import Function

if TYPE_CHECKING:
    from torch import Tensor


def gather_shards(shard: Tensor, dimension: int, group: dist.ProcessGroup) -> Tensor:
    """All-gather a sharded dimension; backward, each process takes its shard of the gradient, which is the same on all of them."""
    if dist.get_world_size(group) == 1:
        return shard
    result: Tensor = _GatherShards.apply(shard, dimension, group)  # type: ignore[no-untyped-call]
    return result


def take_shard(full: Tensor, dimension: int, group: dist.ProcessGroup) -> Tensor:
    """Take this process's shard of a replicated tensor; backward, the gradients are all-gathered."""
    result: Tensor = _TakeShard.apply(full, dimension, group)  # type: ignore[no-untyped-call]
    return result


class _GatherShards(Function):
    @staticmethod
    def forward(context: Any, shard: Tensor, dimension: int, group: dist.ProcessGroup) -> Tensor:
        context.arguments = dimension, group
        return _gather(shard, dimension, group)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _chunk(gradient, *context.arguments), None, None


class _TakeShard(Function):
    @staticmethod
    def forward(context: Any, full: Tensor, dimension: int, group: dist.ProcessGroup) -> Tensor:
        context.arguments = dimension, group
        return _chunk(full, dimension, group)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _gather(gradient, *context.arguments), None, None


def equal_counts(count: int, group: dist.ProcessGroup) -> list[int]:
    """Return the token counts of a group whose processes all have the same number."""
    return [count] * dist.get_world_size(group)


def gather_tokens(tokens: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    """All-gather tokens; backward, the gradients are reduce-scattered.

    Args:
        counts: the number of tokens of each process.
    """
    result: Tensor = _GatherTokens.apply(tokens, counts, group)  # type: ignore[no-untyped-call]
    return result


def scatter_tokens(tokens: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    """Reduce-scatter tokens; backward, the gradients are all-gathered.

    Args:
        counts: the number of tokens that each process gets.
    """
    result: Tensor = _ScatterTokens.apply(tokens, counts, group)  # type: ignore[no-untyped-call]
    return result


class _GatherTokens(Function):
    @staticmethod
    def forward(context: Any, tokens: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
        context.arguments = counts, group
        return all_gather(tokens, counts, group)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return reduce_scatter(gradient, *context.arguments), None, None


class _ScatterTokens(Function):
    @staticmethod
    def forward(context: Any, tokens: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
        context.arguments = counts, group
        return reduce_scatter(tokens, counts, group)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return all_gather(gradient, *context.arguments), None, None


def all_gather(tokens: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    """Return the tokens of all processes, without gradients."""
    padded = tokens.new_zeros(max(counts), *tokens.shape[1:])  # backends require equal shapes
    padded[: len(tokens)] = tokens
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded, group=group)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def reduce_scatter(tokens: Tensor, counts: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    """Return this process's tokens, summed over all processes, without gradients."""
    parts = list(torch.split(tokens.contiguous(), list(counts)))
    if len(set(counts)) == 1:
        result = torch.empty_like(parts[0])
        dist.reduce_scatter(result, parts, group=group)
        return result
    total = tokens.contiguous().clone()
    dist.all_reduce(total, group=group)
    return torch.split(total, list(counts))[dist.get_rank(group)]


def _gather(shard: Tensor, dimension: int, group: dist.ProcessGroup) -> Tensor:
    shards = [torch.empty_like(shard, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size(group))]
    dist.all_gather(shards, shard.contiguous(), group=group)
    return torch.cat(shards, dimension)


def _chunk(full: Tensor, dimension: int, group: dist.ProcessGroup) -> Tensor:
    return full.chunk(dist.get_world_size(group), dimension)[dist.get_rank(group)]
