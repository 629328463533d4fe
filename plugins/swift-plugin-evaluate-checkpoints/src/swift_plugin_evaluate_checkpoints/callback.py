"""The callback `evaluate`: one evaluation at a time, beside the training.

If a score of it is `metric_for_best_model`, each due checkpoint is evaluated, in order, and the output waits for them, so that the best one
does not depend on the speed of the machine. Otherwise the training never waits, and of the checkpoints that wait the newest is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_train.callbacks import Callback, Training
from swift_train.checkpoints import read_record
from swift_train.resume import earlier_checkpoints

from swift_core.contract import UsageError
from swift_plugin_evaluate_checkpoints.background import BackgroundEvaluation, discard, prepared
from swift_plugin_evaluate_checkpoints.devices import evaluation_device, local_ranks
from swift_plugin_evaluate_checkpoints.options import PREFIX, EvaluateOptions

_PAUSE = 0.5  # seconds between two looks at an evaluation for which the end of the run waits


@dataclass(frozen=True, slots=True)
class Due:
    """A checkpoint that is to be evaluated."""

    step: int  # training step
    checkpoint: Path  # which may be gone, if nothing waits for its score
    folder: Path  # run folder of the evaluation


class EvaluateCheckpoints(Callback):
    """Evaluates saved checkpoints from rank 0."""

    def __init__(self, options: EvaluateOptions) -> None:
        self.options = options
        self.device = ""
        self._running: tuple[Due, BackgroundEvaluation] | None = None
        self._queue: list[Due] = []
        self._last: int | None = None  # step of the last checkpoint that is or will be evaluated
        self._unfinished: list[int] = []  # steps that a resumed run had not evaluated

    def on_load_begin(self, training: Training) -> None:
        """Find the device of the evaluations."""
        self.device = evaluation_device(self.options.device, local_ranks())

    def on_train_begin(self, training: Training) -> None:
        """Take up what an interrupted run had not evaluated; what it has scored since its last checkpoint is not evaluated again."""
        if training.rank or not training.resumed:
            return
        for checkpoint in earlier_checkpoints(training.resumed):
            step = int(checkpoint.name.removeprefix("step-"))
            if step in self._unfinished:
                self._add(training, step, checkpoint)
        self.on_save(training, training.resumed)

    def on_save(self, training: Training, checkpoint: Path) -> None:
        """Have the checkpoint evaluated, if it is due."""
        early = self._last is not None and training.step - self._last < self.options.every
        if training.rank or training.scores.closed or training.step == self._last or (early and training.step < training.total_steps):
            return
        if self._queue and not training.ranking.late:
            (left,), self._queue = self._queue, []
            discard(left.folder)
            training.note(f"The checkpoint of step {left.step} is not evaluated: evaluations take longer than the training.")
        self._last = training.step
        self._add(training, training.step, checkpoint)
        self._advance(training)

    def on_step_end(self, training: Training) -> None:
        """Report what has ended, and start what waits."""
        self._advance(training)

    def on_wait(self, training: Training) -> None:
        """Report what has ended, and start what waits."""
        self._advance(training)

    def on_train_end(self, training: Training, output: Path) -> None:
        """Wait for the evaluations; a stop by the user ends them."""
        if self._running or self._queue:
            training.note("The training is done; waiting for its last evaluation.")
        while self._running or self._queue:
            if training.report.wait_for_stop(_PAUSE):
                self._abandon()
                training.note("Unfinished evaluations were stopped; the training's output is complete.")
                return
            training.alive("the evaluation of a checkpoint")
            self._advance(training)

    def state_dict(self) -> dict[str, Any]:
        """Return the step of the last checkpoint that is evaluated, and the steps whose evaluation has not ended."""
        running = [self._running[0]] if self._running else []
        return {"last": self._last, "unfinished": [due.step for due in (*running, *self._queue)]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore them."""
        self._last, self._unfinished = state["last"], state["unfinished"]

    def _add(self, training: Training, step: int, checkpoint: Path) -> None:
        self._queue.append(Due(step, checkpoint, prepared(checkpoint, training.folder, step)))
        if training.ranking.late:
            training.scores.expect(step, checkpoint)

    def _advance(self, training: Training) -> None:
        """Report an evaluation that has ended, and start the next."""
        if training.scores.closed and (self._running or self._queue):
            self._abandon()
            training.note("The training ends by the scores of its checkpoints; those of later ones do not count and are not evaluated.")
        if self._running and self._running[1].ended:
            (due, done), self._running = self._running, None
            if scores := done.scores():
                self._check_direction(training, done)
                training.note(f"Step {due.step}: " + ", ".join(f"{name} {value:.4g}" for name, value in scores.items()))
                training.add_scores(due.step, due.checkpoint, **{PREFIX + name: value for name, value in scores.items()})
            else:
                training.note(f"WARNING: the evaluation of step {due.step} failed: {done.failure()}")
                training.scores.give_up(due.step)
            discard(due.folder)
        while self._queue and not self._running:
            due = self._queue.pop(0)
            if known := _scores_of(due.checkpoint):
                discard(due.folder)
                training.add_scores(due.step, due.checkpoint, **known)
            else:
                started = BackgroundEvaluation.start(due.step, due.folder, self.options.of_eval(), training.run.plugins, self.device)
                self._running = due, started

    def _check_direction(self, training: Training, done: BackgroundEvaluation) -> None:
        """Refuse to take the greatest of what is better when it is lower.

        Raises:
            UsageError: `greater_is_better` contradicts the evaluator.
        """
        metric = training.ranking.metric
        if training.ranking.late and training.ranking.greater and metric in {PREFIX + name for name in done.lower_is_better()}:
            message = f"the evaluator says that a lower {metric} is better"
            hint = "Set --greater-is-better false; to resume a run with the changed setting, add --resume.allow-change."
            raise UsageError(message, code="EVAL-125", where="greater_is_better", hint=hint)

    def _abandon(self) -> None:
        if self._running:
            self._running[1].stop()
            discard(self._running[0].folder)
        for due in self._queue:
            discard(due.folder)
        self._running, self._queue = None, []


def _scores_of(checkpoint: Path) -> dict[str, float]:
    """Return the scores that a checkpoint already has."""
    metrics: Mapping[str, float] = read_record(checkpoint).get("metrics", {})
    return {name: value for name, value in metrics.items() if name.startswith(PREFIX)}
