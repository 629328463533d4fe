"""Find the rows whose loss is not finite by computing each row alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

from swift_train.scoring import Step

if TYPE_CHECKING:
    from swift_train.micro_batches import MicroBatches
    from swift_train.samples import Samples
    from swift_train.strategy import Strategy
    from swift_train.watchdog import WatchedTask

_NAMED = 8


def nonfinite_rows(
    samples: Samples, rows: Sequence[int], *, batches: MicroBatches, strategy: Strategy, task: WatchedTask
) -> tuple[str, str]:
    """Name the rows of a step whose loss is not finite, and suggest what to do. Collective.

    Args:
        samples, rows: the run's samples, and the indices of the step's rows.
        batches: splits rows into micro-batches and builds them.
        strategy, task: compute the losses.

    Returns:
        The rows as text (file and row number), and a hint.
    """
    shares = [batches.groups(samples, rows, 1, rank) for rank in range(strategy.data_size)]
    bad: set[int] = set()
    for index, piece in enumerate(shares[strategy.data_rank]):
        tested = sorted({row for share in shares for row in share[index].rows})
        micros = task.prepare(Step(strategy, task, samples, tested, train=False, batches=batches), batches.collate(samples, [piece]))
        if not isfinite(strategy.accumulate(micros, task, 1.0, train=False)):
            bad.update(tested)
    names = sorted({samples.origin(row) for row in (bad or rows)})
    named = "; ".join(names[:_NAMED]) + (f"; and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    if len(bad) == len(rows):
        return named, "No row has a finite loss, so the weights have diverged: try a lower --learning-rate, or an earlier checkpoint."
    ranks = strategy.data_size
    among = f"Rows are tested {ranks} at a time, so at least one of each {ranks} is bad. " if ranks > 1 else ""
    return named, f"{among}Check these rows, skip such steps with --on-nan skip, or try a lower --learning-rate or --dtype float32."
