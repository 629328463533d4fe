"""The callback `evaluate`: one evaluation at a time, beside the training, which never waits for it until it has ended itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_train.callbacks import Callback, Training

from swift_plugin_evaluate_checkpoints.background import BackgroundEvaluation, discard, prepared
from swift_plugin_evaluate_checkpoints.devices import evaluation_device, local_ranks
from swift_plugin_evaluate_checkpoints.options import EvaluateOptions

_PAUSE = 0.5  # seconds between two looks at an evaluation for which the end of the run waits
PREFIX = "eval_"  # of the metrics


class EvaluateCheckpoints(Callback):
    """Evaluates saved checkpoints from rank 0. If one is saved while another is evaluated, it waits, and a newer one takes its place."""

    def __init__(self, options: EvaluateOptions) -> None:
        self.options = options
        self.device = ""
        self._running: BackgroundEvaluation | None = None
        self._waiting: tuple[int, Path] | None = None  # step, and run folder of the evaluation
        self._last: int | None = None  # step of the last checkpoint that is or will be evaluated

    def on_load_begin(self, training: Training) -> None:
        """Find the device of the evaluations."""
        self.device = evaluation_device(self.options.device, local_ranks())

    def on_save(self, training: Training, checkpoint: Path) -> None:
        """Have the checkpoint evaluated, if it is due."""
        early = self._last is not None and training.step - self._last < self.options.every
        if training.rank or training.step == self._last or (early and training.step < training.total_steps):
            return
        if self._waiting:
            discard(self._waiting[1])
            training.note(f"The checkpoint of step {self._waiting[0]} is not evaluated: evaluations take longer than the training.")
        self._last = training.step
        self._waiting = training.step, prepared(checkpoint, training.folder, training.step)
        self._advance(training)

    def on_step_end(self, training: Training) -> None:
        """Report what has ended, and start what waits."""
        self._advance(training)

    def on_train_end(self, training: Training, output: Path) -> None:
        """Wait for the evaluations; a stop by the user ends them."""
        if self._running or self._waiting:
            training.note("The training is done; its last evaluation is not.")
        while self._running or self._waiting:
            if training.report.wait_for_stop(_PAUSE):
                self._abandon(training)
                return
            training.alive("the evaluation of a checkpoint")
            self._advance(training)

    def state_dict(self) -> dict[str, Any]:
        """Return the step of the last evaluated checkpoint."""
        return {"last": self._last}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore it."""
        self._last = state["last"]

    def _advance(self, training: Training) -> None:
        """Report an evaluation that has ended, and start the one that waits."""
        if self._running and self._running.ended:
            done, self._running = self._running, None
            if scores := done.scores():
                training.report.metric(done.step, **{PREFIX + name: value for name, value in scores.items()})
                training.note(f"Step {done.step}: " + ", ".join(f"{name} {value:.4g}" for name, value in scores.items()))
            else:
                training.note(f"WARNING: the evaluation of step {done.step} failed: {done.failure()}")
            discard(done.folder)
        if self._waiting and not self._running:
            (step, folder), self._waiting = self._waiting, None
            self._running = BackgroundEvaluation.start(step, folder, self.options.of_eval(), training.run.plugins, self.device)

    def _abandon(self, training: Training) -> None:
        if self._running:
            self._running.stop()
            discard(self._running.folder)
        if self._waiting:
            discard(self._waiting[1])
        self._running = self._waiting = None
        training.note("The evaluations that had not ended are stopped; the training's output is complete.")
