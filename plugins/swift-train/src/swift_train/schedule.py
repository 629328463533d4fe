"""The learning rate by number of updates: transformers' schedules (`get_linear_schedule_with_warmup` and its kin), to the digit."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, cos, pi
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift_train.options import TrainOptions


def learning_rate(options: TrainOptions, highest: float, total: int) -> Callable[[int], float]:
    """The rate of update `n`, counted from 0: it rises from 0 to `highest` over the warm-up, then falls to 0 at `total`, or stays."""
    warmup = options.warmup_steps or ceil(options.warmup_ratio * total)

    def rate(n: int) -> float:
        if n < warmup:
            return highest * n / warmup
        done = min(1.0, (n - warmup) / max(1, total - warmup))
        return highest * {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + cos(pi * done))}[options.schedule]

    return rate
