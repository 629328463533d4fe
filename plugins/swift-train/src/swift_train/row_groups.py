"""Split the rows of a step over ranks and micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil, inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

CPU_TOKENS = 512  # measured: with fewer tokens per pass the cores wait for each other, with more only memory use grows


class RowGroup(NamedTuple):
    """The rows of one micro-batch and their weight in the loss: 1, or 0 for a filler."""

    rows: tuple[int, ...]
    weight: float


class Sharing(NamedTuple):
    """How a row profits from being behind another one in a pass; see `swift_train.shared_prefixes`.

    Attributes:
        tokens: returns the tokens that the second of two rows shares with the first.
        together: returns whether two rows are kept in one pass, whatever its number of tokens.
    """

    tokens: Callable[[int, int], int]
    together: Callable[[int, int], bool]


def split_rows(
    rows: Sequence[int],
    lengths: NDArray[np.int64],
    *,
    rank: int,
    ranks: int,
    max_rows: int,
    max_tokens: float,
    sharing: Sharing | None = None,
) -> list[RowGroup]:
    """Return the micro-batches of one rank, each of at most `max_rows` rows and `max_tokens` tokens (a longer row is alone in its own).

    Rows are assigned longest first, each to the rank with the fewest tokens that does not have its number of rows yet. Every rank
    computes the assignment of all ranks, so that it knows the largest number of micro-batches, and appends fillers (the shortest row
    with weight 0) up to that number.

    Args:
        rows: indices of the step's rows, over all ranks.
        lengths: (samples,) tokens of each sample.
        rank, ranks, max_rows, max_tokens: the rank, their number, and limits of a micro-batch.
        sharing: of rows with the same beginning; those that stay together go to one rank if there is room.
    """
    units = _units(rows, sharing) if ranks > 1 else []
    parts = _balance(rows, units, lengths, ranks) if ranks > 1 else [list(rows)]
    groups = [_micro_batches(part, lengths, max_rows, max_tokens, sharing) for part in parts]
    own = [RowGroup(group, 1.0) for group in groups[rank]]
    shortest = min(rows, key=lambda row: (lengths[row], row))
    return own + [RowGroup((shortest,), 0.0)] * (max(map(len, groups)) - len(own))


def max_micro_tokens(limit: int | None, device: torch.device) -> float:
    """Return the maximum tokens per micro-batch: the given limit, else the fastest size on a CPU and no limit on other devices."""
    return limit or (CPU_TOKENS if device.type == "cpu" else inf)


def _units(rows: Sequence[int], sharing: Sharing | None) -> list[list[int]]:
    """Return the positions of the rows, those that stay together as one unit."""
    units = [[0]]
    for place, (one, other) in enumerate(pairwise(rows), 1):
        if sharing is not None and sharing.together(one, other):
            units[-1].append(place)
        else:
            units.append([place])
    return units


def _balance(rows: Sequence[int], units: Sequence[list[int]], lengths: NDArray[np.int64], ranks: int) -> list[list[int]]:
    rows_per_rank = ceil(len(rows) / ranks)
    parts: list[list[int]] = [[] for _ in range(ranks)]
    loads = [0] * ranks

    def tokens(unit: list[int]) -> int:
        return sum(int(lengths[rows[place]]) for place in unit)

    for unit in sorted(units, key=lambda unit: (-tokens(unit), unit)):
        for part in [unit] if any(len(part) + len(unit) <= rows_per_rank for part in parts) else [[place] for place in unit]:
            free = (rank for rank in range(ranks) if len(parts[rank]) + len(part) <= rows_per_rank)
            rank = min(free, key=lambda rank: (loads[rank], rank))
            parts[rank] += part
            loads[rank] += tokens(part)
    return [[rows[place] for place in sorted(part)] for part in parts]


def _micro_batches(
    rows: Sequence[int], lengths: NDArray[np.int64], max_rows: int, max_tokens: float, sharing: Sharing | None
) -> list[tuple[int, ...]]:
    micros: list[list[int]] = []
    tokens = 0
    for row in rows:
        before = micros[-1][-1] if micros else row
        tokens += int(lengths[row]) - (sharing.tokens(before, row) if sharing and micros else 0)
        fits = tokens <= max_tokens or (sharing is not None and sharing.together(before, row))
        if not micros or len(micros[-1]) == max_rows or not fits:
            micros.append([])
            tokens = int(lengths[row])
        micros[-1].append(row)
    return [tuple(micro) for micro in micros]
