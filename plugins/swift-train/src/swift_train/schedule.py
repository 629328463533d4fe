"""Learning rate schedules, numerically equal to transformers' (`get_linear_schedule_with_warmup`, `get_cosine_schedule_with_warmup`, …)."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, cos, pi
from typing import TYPE_CHECKING

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_train.options import TrainOptions


def learning_rate(options: TrainOptions, peak: float, total: int) -> Callable[[int], float]:
    """Return the learning rate as a function of the update number, counted from 0.

    Args:
        options: `schedule`, `warmup_steps`, `warmup_ratio` and `min_learning_rate`.
        peak: learning rate after the linear warm-up from 0.
        total: number of updates; the linear and cosine schedules end at `min_learning_rate` there.
    """
    given = options.warmup_steps
    warmup = int(given) if given >= 1 else ceil((given or options.warmup_ratio) * total)
    lowest = options.min_learning_rate

    def rate(n: int) -> float:
        if n < warmup:
            return peak * n / warmup
        done = min(1.0, (n - warmup) / max(1, total - warmup))
        share = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + cos(pi * done))}[options.schedule]
        return lowest + (peak - lowest) * share

    return rate


def total_steps(options: TrainOptions, steps_per_epoch: int | None) -> int:
    """Return the total steps of a run: `max_steps`, else `epochs` times the steps per epoch.

    Raises:
        UsageError: `max_steps` is not set, and the steps per epoch are not known.
    """
    if not options.max_steps and not steps_per_epoch:
        raise UsageError(
            "the length of a stream is not known", code="TRAIN-034", where="max_steps", hint="Set the number of steps: --max-steps 1000."
        )
    return options.max_steps or ceil(options.epochs * (steps_per_epoch or 0))
