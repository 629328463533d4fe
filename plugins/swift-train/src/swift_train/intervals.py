"""At which steps a training is evaluated, saves a checkpoint, and reports metrics."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_train.options import TrainOptions


class Intervals:
    """Decides by step, by epoch, by the clock, or by the evaluations.

    Args:
        options: of the task.
        steps_per_epoch: optimizer steps per epoch; None if unknown.
        total: steps of the run.

    Raises:
        UsageError: it is by the epoch, and the steps per epoch are not known.
    """

    def __init__(self, options: TrainOptions, steps_per_epoch: int | None, total: int) -> None:
        self._options = options
        chosen = ((options.eval_strategy, options.eval_steps, options.evals_per_epoch, "eval_strategy"),
                  (options.save_strategy, options.save_steps, options.saves_per_epoch, "save_strategy"))  # fmt: skip
        self._eval_every, self._save_every = (_interval(*one, steps_per_epoch=steps_per_epoch, total=total) for one in chosen)
        self._log_every = _in_steps(options.logging_steps, total)

    def evaluates(self, step: int, total: int) -> bool:
        """Return whether an evaluation is due after a step of `total`."""
        if self._options.eval_strategy == "no":
            return False
        return step in (0, total) or _due(step, self._eval_every)

    def saves(self, step: int, *, best: bool, timer: bool) -> bool:
        """Return whether a checkpoint is due after a step: `best` if its evaluation is the best so far, `timer` if the clock says so."""
        if best and (self._options.save_strategy == "best" or self._options.load_best_model_at_end):
            return True
        if self._save_every is not None:
            return _due(step, self._save_every)
        return self._options.save_strategy == "steps" and timer

    def logs(self, step: int, total: int) -> bool:
        """Return whether metrics are reported after a step of `total`."""
        return step in (1, total) or _due(step, self._log_every)


def _due(step: int, every: Fraction | None) -> bool:
    """Return whether a multiple of `every` lies between the previous step and this one."""
    return every is not None and step // every != (step - 1) // every


def _interval(
    strategy: str, steps: float | None, per_epoch: int | None, where: str, *, steps_per_epoch: int | None, total: int
) -> Fraction | None:
    """Return the steps between two evaluations or checkpoints; None if they are not counted."""
    number = 1 if strategy == "epoch" else per_epoch if strategy == "steps" else None
    if number:
        if not steps_per_epoch:
            hint = "Use steps: --eval-steps 100, --save-steps 100."
            raise UsageError("the length of an epoch of a stream is not known", code="TRAIN-126", where=where, hint=hint)
        return max(Fraction(1), Fraction(steps_per_epoch, number))
    return _in_steps(steps, total) if strategy == "steps" and steps else None


def _in_steps(steps: float, total: int) -> Fraction:
    """Return a number of steps; below 1 it is a fraction of all steps."""
    return Fraction(int(steps) if steps >= 1 else max(1, ceil(steps * total)))
