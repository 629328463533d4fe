"""The evaluation of a training: the mean loss of the held-out rows, or what the sampler of an online task measures on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from swift_train.online import EvaluatingSampler
from swift_train.sampler import rows_per_step
from swift_train.scoring import Step

if TYPE_CHECKING:
    from swift_core.runs import Report
    from swift_train.micro_batches import MicroBatches
    from swift_train.sampler import StepSampler
    from swift_train.samples import Samples
    from swift_train.strategy import Strategy
    from swift_train.watchdog import WatchedTask


def evaluate(
    held: Samples, task: WatchedTask, strategy: Strategy, batches: MicroBatches, report: Report, *, sampler: StepSampler, step: int
) -> dict[str, float]:
    """Return the metrics of the held-out rows, the most important one first; none if a stop request interrupted it. Collective.

    That is the mean loss and the task's metrics; for a sampler that evaluates itself, what it measures after step `step`, and the loss of
    the rows that it names.
    """
    measured: Mapping[str, float] = {}
    if isinstance(sampler, EvaluatingSampler):
        measured, rows_of_sampler = sampler.evaluate(step)
        if rows_of_sampler is None:
            return dict(measured)
        held = rows_of_sampler
    total, done, count = 0.0, 0, task.count(held, range(len(held)))
    for rows, micros in batches.evaluated(held, task.evaluated_together(rows_per_step(task.options, strategy))):
        if strategy.reduce(float(report.stop_requested), "max"):
            return {}
        report.progress("evaluate", min(done, len(held)), len(held))
        prepared = task.prepare(Step(strategy, task, held, rows, train=False, batches=batches), micros)
        total += strategy.accumulate(prepared, task.fused(strategy), 1 / count, train=False)
        done += sum(len(micro.rows) for micro in micros) * strategy.data_size
    report.progress("evaluate", len(held), len(held))
    return {"loss": total, **task.take_metrics(strategy), **measured}
