"""Context parallelism: processes compute the same rows together, each a part of the tokens.

Everything but attention looks at a token alone. For attention, processes exchange tokens for heads: each then has all tokens and some
heads, so that any attention is computed as ever, rows one after the other included; afterwards they exchange back. What a process holds
of activations shrinks with their number, so rows can be that much longer. A loss that is a sum over tokens is the sum of the parts'.
Method: DeepSpeed-Ulysses, Jacobs et al. 2023, https://arxiv.org/abs/2309.14509
"""

from __future__ import annotations

from dataclasses import replace
from math import lcm
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from swift_train.batches import Micro


def shard_tokens(micro: Micro, part: int, parts: int) -> Micro:
    """The tokens of one of `parts` equal parts, all rows filled up for that, and what is scored there.

    `lengths` are those of all rows, of all parts.
    """
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
        lengths=tuple(row_lengths(micro.position_ids)),
    )


def pad_to_multiple(micro: Micro, multiple: int) -> Micro:
    """With as many tokens as a multiple of a number: what is missing is a row of its own, which nothing sees and nothing scores."""
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
    """How long the rows are that stand one after the other in (1, tokens) positions."""
    starts = (position_ids[0] == 0).nonzero().squeeze(1)
    lengths: list[int] = torch.diff(starts, append=starts.new_tensor([position_ids.shape[1]])).tolist()
    return lengths


def attend_over_heads(
    attend: Callable[[Tensor, Tensor, Tensor], Tensor], query: Tensor, key: Tensor, value: Tensor, group: dist.ProcessGroup
) -> Tensor:
    """What `attend` gives with all tokens and some heads, of a process that has some tokens and all heads. Differentiable, collective.

    Args:
        attend: takes and gives (heads, tokens, size).
        query, key, value: (heads, tokens of this part, size); key heads that are too few to be shared are repeated.
    """
    if (times := lcm(key.shape[0], group.size()) // key.shape[0]) > 1:
        key, value = (states.repeat_interleave(times, 0) for states in (key, value))
    query, key, value = (scatter_heads(states, group) for states in (query, key, value))
    return gather_heads(attend(query, key, value), group)


def scatter_heads(states: Tensor, group: dist.ProcessGroup) -> Tensor:
    """(heads, tokens of this part, size) → (heads / parts, all tokens, size). Differentiable, collective."""
    parts, (heads, tokens, size) = group.size(), states.shape
    found = _exchanged(states.reshape(parts, heads // parts, tokens, size), group)
    return found.transpose(0, 1).reshape(heads // parts, parts * tokens, size)


def gather_heads(states: Tensor, group: dist.ProcessGroup) -> Tensor:
    """The inverse of `tokens_for_heads`."""
    parts, (heads, tokens, size) = group.size(), states.shape
    found = _exchanged(states.reshape(heads, parts, tokens // parts, size).transpose(0, 1), group)
    return found.reshape(parts * heads, tokens // parts, size)


def _exchanged(states: Tensor, group: dist.ProcessGroup) -> Any:
    return _Exchange.apply(states, group)  # type: ignore[no-untyped-call]


class _Exchange(torch.autograd.Function):
    """Block i of process j becomes block j of process i, which is its own inverse, and its own gradient's way."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        found = torch.empty_like(states, memory_format=torch.contiguous_format)
        dist.all_to_all_single(found, states.contiguous(), group=group)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, None]:
        return _exchanged(gradients[0], ctx.group), None
