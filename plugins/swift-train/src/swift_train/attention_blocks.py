"""Blocks of queries of a micro-batch with the keys that they attend to: short rows are in one block, a long row in several."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from swift_train.shared_prefixes import SharedPrefixes

_QUERIES = 128  # measured: with fewer, calls dominate; with more, scores that are not needed


class Block(NamedTuple):
    """Queries and the keys that they attend to.

    Attributes:
        queries: their places among the tokens.
        keys: the places of the keys; a tensor (keys,) if they are not next to each other.
        partial: number of the first key that not all of these queries attend to.
        mask: (queries, keys from `partial` on) float32, -inf where a query does not attend to a key.
    """

    queries: slice
    keys: slice | Tensor
    partial: int
    mask: Tensor

    def take(self, states: Tensor) -> Tensor:
        """Return the states of the keys, of those of all tokens (tokens, size)."""
        return states[self.keys] if isinstance(self.keys, slice) else states.index_select(0, self.keys)

    def add(self, total: Tensor, states: Tensor) -> None:
        """Add states of the keys to those of all tokens."""
        if isinstance(self.keys, slice):
            total[self.keys] += states
        else:
            total.index_add_(0, self.keys, states)


@lru_cache(maxsize=4)  # of a micro-batch, for all layers
def blocks_of(rows: SharedPrefixes, window: int) -> tuple[Block, ...]:
    """Return the blocks of a micro-batch.

    Args:
        rows: the segments of its rows.
        window: number of tokens that a token attends to, including itself; 0 for all.
    """
    lengths = torch.tensor(rows.lengths)
    segment = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    starts = [sum(rows.lengths[each] for each in before) for before in rows.before]
    position = torch.cat([torch.arange(start, start + length) for start, length in zip(starts, rows.lengths, strict=True)])
    continued = torch.eye(len(lengths), dtype=torch.bool)
    for number, before in enumerate(rows.before):
        continued[number, list(before)] = True
    return tuple(_block(queries, segment, position, continued, window) for queries in _queries(rows.lengths))


def _queries(lengths: tuple[int, ...]) -> Iterator[slice]:
    """Yield the places of the queries of each block: whole short segments, or parts of a long one."""
    begin = 0
    for start, end in zip(accumulate(lengths, initial=0), accumulate(lengths), strict=False):
        if end - begin > _QUERIES and start > begin:
            yield slice(begin, start)
            begin = start
        while end - begin > _QUERIES:
            yield slice(begin, begin + _QUERIES)
            begin += _QUERIES
    yield slice(begin, sum(lengths))


def _block(queries: slice, segment: Tensor, position: Tensor, continued: Tensor, window: int) -> Block:
    """Return a block; a segment stands behind those that it continues, so that all keys stand before the last query."""
    own, every = torch.arange(queries.start, queries.stop), torch.arange(queries.stop)
    seen = continued[segment[own][:, None], segment[every]] & (every <= own[:, None])
    if window:
        seen &= position[own][:, None] - position[every] < window
    keys = seen.any(0).nonzero().squeeze(1)
    seen = seen[:, keys]
    partly = (~seen.all(0)).nonzero()
    first = int(partly[0]) if len(partly) else len(keys)
    mask = torch.zeros(seen[:, first:].shape).masked_fill_(~seen[:, first:], -torch.inf)
    whole = int(keys[-1] - keys[0]) + 1 == len(keys)
    return Block(queries, slice(int(keys[0]), int(keys[-1]) + 1) if whole else keys, first, mask)
