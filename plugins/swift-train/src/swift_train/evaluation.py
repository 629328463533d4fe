"""The evaluation of a training: the mean loss of the held-out rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_train.scoring import Step

if TYPE_CHECKING:
    from swift_core.runs import Report
    from swift_train.micro_batches import MicroBatches
    from swift_train.samples import Samples
    from swift_train.strategy import Strategy
    from swift_train.watchdog import WatchedTask

_AT_ONCE = 32  # micro-batches between two checks for a stop request


def evaluate(
    held: Samples, task: WatchedTask, strategy: Strategy, batches: MicroBatches, report: Report
) -> tuple[float, dict[str, float]] | None:
    """Return the mean loss of the rows and the task's metrics, or None if a stop request interrupted it. Collective."""
    rows = range(len(held))
    groups, count, total = batches.evaluation(held, rows), task.count(held, rows), 0.0
    step = Step(strategy, task, held, rows, train=False)
    for start in range(0, len(groups), _AT_ONCE):
        if strategy.reduce(float(report.stop_requested), "max"):
            return None
        report.progress("evaluate", start, len(groups))
        micros = task.prepare(step, batches.collate(held, groups[start : start + _AT_ONCE]))
        total += strategy.accumulate(micros, task, 1 / count, train=False)
    report.progress("evaluate", len(groups), len(groups))
    return total, task.take_metrics(strategy)
