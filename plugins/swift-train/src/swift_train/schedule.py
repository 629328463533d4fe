"""Learning rate schedules, numerically equal to transformers' (`get_linear_schedule_with_warmup`, `get_wsd_schedule`, …)."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, cos, pi, sqrt
from typing import TYPE_CHECKING

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_train.options import TrainOptions

_TIMESCALE = 10_000  # updates after which inverse-sqrt has fallen to 1 / sqrt(2), without a warm-up
ENDLESS = ("constant", "inverse-sqrt")  # schedules that do not depend on the number of steps


def learning_rate(options: TrainOptions, peak: float, total: int) -> Callable[[int], float]:
    """Return the learning rate as a function of the update number, counted from 0.

    Args:
        options: `schedule`, `schedule_options`, `warmup_steps`, `warmup_ratio` and `min_learning_rate`.
        peak: learning rate after the linear warm-up from 0.
        total: number of updates; all schedules but constant and inverse-sqrt end at `min_learning_rate` there.
    """
    given = options.warmup_steps
    warmup = int(given) if given >= 1 else ceil((given or options.warmup_ratio) * total)
    more = options.schedule_options
    lowest = max(options.min_learning_rate, more.min_lr, more.min_lr_rate * peak)
    share = _share(options, warmup, total)

    def rate(n: int) -> float:
        return peak * n / warmup if n < warmup else lowest + (peak - lowest) * share(n)

    return rate


def _share(options: TrainOptions, warmup: int, total: int) -> Callable[[int], float]:
    """Return the share of the way from the lowest to the highest rate, by update number, after the warm-up."""
    more = options.schedule_options
    decay = (more.num_decay_steps if more.num_decay_steps >= 1 else ceil((more.num_decay_steps or 0.1) * total)) or 1

    def done(n: int) -> float:
        return min(1.0, (n - warmup) / max(1, total - warmup))

    def decayed(n: int) -> float:
        part = min(1.0, max(0.0, (n - (total - decay)) / decay))
        return {"cosine": 0.5 * (1.0 + cos(pi * part)), "linear": 1.0 - part, "1-sqrt": 1.0 - sqrt(part)}[more.decay_type]

    def restarts(n: int) -> float:
        return 0.0 if done(n) >= 1.0 else 0.5 * (1.0 + cos(pi * ((more.num_cycles * done(n)) % 1.0)))

    timescale = warmup or _TIMESCALE
    return {
        "constant": lambda _n: 1.0,
        "linear": lambda n: 1.0 - done(n),
        "cosine": lambda n: 0.5 * (1.0 + cos(pi * done(n))),
        "cosine-restarts": restarts,
        "polynomial": lambda n: (1.0 - done(n)) ** more.power,
        "inverse-sqrt": lambda n: 1.0 / sqrt((n + timescale - warmup) / timescale),
        "wsd": decayed,
    }[options.schedule]


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
