"""At which steps a training is evaluated, and saves a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_train.options import TrainOptions


class Intervals:
    """Decides by step, by epoch, by the clock, or by the evaluations.

    Args:
        options: of the task.
        steps_per_epoch: optimizer steps per epoch; None if unknown.

    Raises:
        UsageError: it is once per epoch, and the steps per epoch are not known.
    """

    def __init__(self, options: TrainOptions, steps_per_epoch: int | None) -> None:
        self._options = options
        self._eval_every = _steps(options.eval_strategy, options.eval_steps, steps_per_epoch, "eval_strategy")
        self._save_every = _steps(options.save_strategy, options.save_steps, steps_per_epoch, "save_strategy")

    def evaluates(self, step: int, total: int) -> bool:
        """Return whether an evaluation is due after a step of `total`."""
        if self._options.eval_strategy == "no":
            return False
        return step in (0, total) or (self._eval_every is not None and step % self._eval_every == 0)

    def saves(self, step: int, *, best: bool, timer: bool) -> bool:
        """Return whether a checkpoint is due after a step: `best` if its evaluation is the best so far, `timer` if the clock says so."""
        if best and (self._options.save_strategy == "best" or self._options.load_best_model_at_end):
            return True
        if self._save_every is not None:
            return step % self._save_every == 0
        return self._options.save_strategy == "steps" and timer


def _steps(strategy: str, steps: int | None, steps_per_epoch: int | None, where: str) -> int | None:
    """Return the steps between two evaluations or checkpoints; None if they are not counted."""
    if strategy == "epoch" and not steps_per_epoch:
        hint = "Use steps: --eval-steps 100, --save-steps 100."
        raise UsageError("the length of an epoch of a stream is not known", code="TRAIN-126", where=where, hint=hint)
    return steps_per_epoch if strategy == "epoch" else steps if strategy == "steps" else None
