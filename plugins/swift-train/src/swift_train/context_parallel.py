"""Context parallelism: ranks compute the same rows together, each a shard of the tokens.

All layers but attention process each token independently. For attention, an all-to-all exchanges tokens for heads: each rank then has
all tokens and some heads, so any attention works unchanged, also of several rows in one sequence; a second all-to-all reverses it.
Activation memory per rank shrinks with the number of ranks, so rows can be that much longer. A loss that is a sum over tokens is the
sum of the shards' losses.
Method: DeepSpeed-Ulysses, Jacobs et al. 2023, https://arxiv.org/abs/2309.14509
"""

from __future__ import annotations

from dataclasses import replace
from math import lcm
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from swift_train.media.micro import refuse_media

if TYPE_CHECKING:
    from collections.abc import Callable

    from swift_train.batches import Micro


def shard_tokens(micro: Micro, part: int, parts: int) -> Micro:
    """Return shard `part` of a micro-batch in `parts` equal shards: its tokens, and the positions scored in it.

    The micro-batch is padded to a multiple of `parts`; `lengths` of the result are those of all rows, over all shards.
    """
    refuse_media(micro)
    micro = pad_to_multiple(micro, parts)
    size = micro.input_ids.shape[1] // parts
    begin, end = part * size, (part + 1) * size
    own = (micro.positions >= begin) & (micro.positions < end)
    return replace(
        micro,
        input_ids=micro.input_ids[:, begin:end],
        position_ids=micro.position_ids[:, begin:end],
        positions=micro.positions[own] - begin,
        labels=micro.labels[own],
        weights=micro.weights[own],
        sequence=micro.sequence[own],
        lengths=tuple(row_lengths(micro.position_ids)),
    )


def pad_to_multiple(micro: Micro, multiple: int) -> Micro:
    """Pad a micro-batch to a multiple of so many tokens; the padding is a separate row that no other row attends to and nothing scores."""
    missing = -micro.input_ids.shape[1] % multiple
    if not missing:
        return micro
    position_ids = torch.cat([micro.position_ids, torch.arange(missing)[None]], 1)
    return replace(
        micro,
        input_ids=torch.cat([micro.input_ids, micro.input_ids[:, :1].expand(1, missing)], 1),
        position_ids=position_ids,
        lengths=tuple(row_lengths(position_ids)),
    )


def row_lengths(position_ids: Tensor) -> list[int]:
    """Return the lengths of the rows concatenated in (1, tokens) position ids."""
    starts = (position_ids[0] == 0).nonzero().squeeze(1)
    lengths: list[int] = torch.diff(starts, append=starts.new_tensor([position_ids.shape[1]])).tolist()
    return lengths


def attend_over_heads(
    attend: Callable[[Tensor, Tensor, Tensor], Tensor], query: Tensor, key: Tensor, value: Tensor, group: dist.ProcessGroup
) -> Tensor:
    """Compute attention over all tokens on ranks that hold a shard of them, by sharding the heads. Differentiable, collective.

    Args:
        attend: the attention, of and to (heads, tokens, head size).
        query, key, value: (heads, tokens of this shard, head size); key heads are repeated if they do not divide by the ranks.

    Returns:
        (heads, tokens of this shard, head size).
    """
    if (times := lcm(key.shape[0], group.size()) // key.shape[0]) > 1:
        key, value = (states.repeat_interleave(times, 0) for states in (key, value))
    query, key, value = (scatter_heads(states, group) for states in (query, key, value))
    return gather_heads(attend(query, key, value), group)


def scatter_heads(states: Tensor, group: dist.ProcessGroup) -> Tensor:
    """Exchange (heads, tokens / parts, size) for (heads / parts, tokens, size). Differentiable, collective."""
    parts, (heads, tokens, size) = group.size(), states.shape
    found = _all_to_all(states.reshape(parts, heads // parts, tokens, size), group)
    return found.transpose(0, 1).reshape(heads // parts, parts * tokens, size)


def gather_heads(states: Tensor, group: dist.ProcessGroup) -> Tensor:
    """The inverse of `tokens_for_heads`."""
    parts, (heads, tokens, size) = group.size(), states.shape
    found = _all_to_all(states.reshape(heads, parts, tokens // parts, size).transpose(0, 1), group)
    return found.reshape(parts * heads, tokens // parts, size)


def _all_to_all(states: Tensor, group: dist.ProcessGroup) -> Tensor:
    exchanged: Tensor = _AllToAll.apply(states, group)  # type: ignore[no-untyped-call]
    return exchanged


class _AllToAll(torch.autograd.Function):
    """Exchange block i of rank j with block j of rank i; it is its own inverse and its own gradient."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        received = torch.empty_like(states, memory_format=torch.contiguous_format)
        dist.all_to_all_single(received, states.contiguous(), group=group)
        return received

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _all_to_all(gradients[0], ctx.group), None
