"""The evaluation of a training: the mean loss of the held-out rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_train.sampler import rows_per_step
from swift_train.scoring import Step

if TYPE_CHECKING:
    from swift_core.runs import Report
    from swift_train.micro_batches import MicroBatches
    from swift_train.samples import Samples
    from swift_train.strategy import Strategy
    from swift_train.watchdog import WatchedTask


def evaluate(
    held: Samples, task: WatchedTask, strategy: Strategy, batches: MicroBatches, report: Report
) -> tuple[float, dict[str, float]] | None:
    """Return the mean loss of the rows and the task's metrics, or None if a stop request interrupted it. Collective."""
    total, done, count = 0.0, 0, task.count(held, range(len(held)))
    for rows, micros in batches.evaluated(held, task.evaluated_together(rows_per_step(task.options, strategy))):
        if strategy.reduce(float(report.stop_requested), "max"):
            return None
        report.progress("evaluate", min(done, len(held)), len(held))
        prepared = task.prepare(Step(strategy, task, held, rows, train=False, batches=batches), micros)
        total += strategy.accumulate(prepared, task, 1 / count, train=False)
        done += sum(len(micro.rows) for micro in micros) * strategy.data_size
    report.progress("evaluate", len(held), len(held))
    return total, task.take_metrics(strategy)
