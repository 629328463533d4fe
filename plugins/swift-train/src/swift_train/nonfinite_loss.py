"""Which rows make the loss not a number: each is computed alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from swift_train.batches import RowGroup, collate

if TYPE_CHECKING:
    from swift_train.samples import Samples
    from swift_train.strategy import Strategy
    from swift_train.tasks import LossTask

_NAMED = 8


def nonfinite_rows(
    samples: Samples, rows: Sequence[int], *, alone: Callable[[int], list[RowGroup]], strategy: Strategy, task: LossTask
) -> tuple[str, str]:
    """The rows, for people, and what can be done about them. Every rank must call: all see the same sums.

    Args:
        samples, rows: what the step had.
        alone: of a rank, its share with each row by itself.
        strategy, task: what computes.
    """
    shares = [alone(rank) for rank in range(strategy.data_size)]
    bad = {
        row
        for index, piece in enumerate(shares[strategy.data_rank])
        if not isfinite(strategy.accumulate([collate(samples, piece)], task, 1.0, train=False))
        for share in shares
        for row in share[index].rows
    }
    names = sorted({samples.origin(row) for row in (bad or rows)})
    named = "; ".join(names[:_NAMED]) + (f"; and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    if len(bad) == len(rows):
        return named, "It is so for every row, so the weights have diverged: try a lower --learning-rate, or an earlier checkpoint."
    among = f"One row at least of each {strategy.data_size} that were computed at a time is bad. " if strategy.data_size > 1 else ""
    return named, f"{among}Look at these rows, or leave such steps out with --on-nan skip; try a lower --learning-rate, or --dtype float32."
