"""The callback `early-stopping`: end a training whose evaluations no longer improve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_core.options import Options, option
from swift_train.callbacks import Callback, Training


class EarlyStoppingOptions(Options):
    """Options of the callback `early-stopping`."""

    patience: int = option(3, "Evaluations without improvement after which training ends.", ge=1)
    threshold: float = option(0.0, "Minimum change of metric_for_best_model that counts as an improvement.", ge=0)


class EarlyStopping(Callback):
    """Counts the evaluations since the best one, by `metric_for_best_model`: those of the held-out rows, of which the one before the first
    step is the baseline, or the scores of checkpoints.
    """

    def __init__(self, options: EarlyStoppingOptions) -> None:
        self.options = options
        self.best: float | None = None
        self.best_step = 0
        self.evaluations = 0  # since the best one

    def on_train_begin(self, training: Training) -> None:
        """End a resumed run that had already stopped improving."""
        self._check(training)

    def on_evaluate(self, training: Training) -> None:
        """Compare the evaluation with the best one so far."""
        if not training.ranking.late:
            self._compare(training, training.step, training.score)

    def on_score(self, training: Training, step: int, scores: Mapping[str, float]) -> None:
        """Compare the score of a checkpoint with the best one so far."""
        if training.ranking.late and training.ranking.metric in scores:
            self._compare(training, step, scores[training.ranking.metric])

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, its step, and the evaluations since."""
        return {"best": self.best, "best_step": self.best_step, "evaluations": self.evaluations}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.best, self.best_step, self.evaluations = state["best"], state["best_step"], state["evaluations"]

    def _compare(self, training: Training, step: int, score: float) -> None:
        if training.ranking.better(score, self.best, self.options.threshold):
            self.best, self.best_step, self.evaluations = score, step, 0
        else:
            self.evaluations += 1
        self._check(training)

    def _check(self, training: Training) -> None:
        if self.evaluations >= self.options.patience:
            metric = training.ranking.metric if training.ranking.metric != "loss" else "validation loss"
            best = "it was never finite" if self.best is None else f"the best is {self.best:.4g}, after step {self.best_step}"
            training.stop(f"the {metric} has not improved in {self.evaluations} evaluations; {best}")
            training.scores.close()
