"""Callbacks: code of plugins that the training processes call at fixed points of a run. This module imports no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import Stopped, SwiftError, UsageError
from swift_train.checkpoint_scores import CheckpointScores
from swift_train.checkpoints import Ranking

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract import Choice, Run
    from swift_core.runs import Report
    from swift_train.watchdog import Watchdog

PART = "callback."  # prefix of the callbacks among the parts of a run: `callback.early-stopping`


@dataclass(slots=True, kw_only=True)
class Training:
    """The state of a training run, as a callback sees it; the same on every rank unless noted.

    Attributes:
        run: the resolved run.
        folder: the run folder, shared by all ranks.
        rank, ranks: of this process; rank 0 writes metrics, notes and checkpoints.
        model: the model with its tuner, once it is loaded. A parallel strategy may have sharded its parameters.
        step: optimizer steps done.
        total_steps: steps of the whole run.
        metrics: of the last step: loss, grad_norm, learning_rate, tokens, supervised, tokens_per_second, skipped.
        reported: metrics that are reported at this step, as means since the last report; empty if none are.
        evaluated: metrics of the last evaluation: `loss` (the validation loss), and what callbacks log in `on_evaluate`.
        ranking: the metric that decides which evaluation is the best one.
        scores: scores of checkpoints that come after their step, on rank 0.
        resumed: the checkpoint that the run continues from, if it was resumed.
    """

    run: Run
    folder: Path
    rank: int
    ranks: int
    report: Report = field(repr=False)  # events of the run
    model: Module | None = None
    step: int = 0
    total_steps: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    reported: Mapping[str, float] = field(default_factory=dict)
    evaluated: dict[str, float] = field(default_factory=dict)
    ranking: Ranking = field(default_factory=Ranking)
    scores: CheckpointScores = field(default_factory=CheckpointScores, repr=False)
    resumed: Path | None = None
    evaluating: bool = False  # `on_evaluate` is being called
    stop_reason: str = ""  # why the training is to end; empty: it is not
    watchdog: Watchdog | None = field(default=None, repr=False)  # notices a process that hangs

    def log(self, **values: float) -> None:
        """Add metrics of the current step, by name; those of rank 0 are written.

        In `on_evaluate` they belong to the evaluation, and can be its `metric_for_best_model`.
        """
        self.report.metric(self.step, **values)
        if self.evaluating:
            self.evaluated |= values

    def add_scores(self, step: int, checkpoint: Path, **scores: float) -> None:
        """Add scores of a checkpoint of an earlier step, by name, on rank 0; each callback's `on_score` is called next.

        Raises:
            UsageError: `metric_for_best_model` is a score of checkpoints, and not among them.
        """
        self.report.metric(step, **scores)
        self.scores.add(step, checkpoint, scores)
        if self.ranking.late and self.ranking.metric not in scores:
            hint = "Use one of them: --metric-for-best-model NAME. To resume a run with the changed setting, add --resume.allow-change."
            message = f"the evaluation has no metric '{self.ranking.metric}', but {', '.join(scores)}"
            raise UsageError(message, code="TRAIN-125", where="metric_for_best_model", hint=hint)

    @property
    def score(self) -> float:
        """The metric of the last evaluation that decides which one is the best.

        Raises:
            UsageError: no callback has logged it so far.
        """
        if self.ranking.metric not in self.evaluated:
            hint = "Use loss, or name a callback that logs it in on_evaluate, before those that read it."
            message = f"the evaluation has no metric '{self.ranking.metric}', but {', '.join(self.evaluated) or 'none'}"
            raise UsageError(message, code="TRAIN-125", where="metric_for_best_model", hint=hint)
        return self.evaluated[self.ranking.metric]

    def note(self, text: str) -> None:
        """Show a message to the user; those of rank 0 are shown."""
        self.report.note(text)

    def alive(self, waiting_for: str) -> None:
        """Tell the watchdog that this process waits on purpose; to be repeated while it does."""
        if self.watchdog:
            self.watchdog.mark(waiting_for)

    def stop(self, reason: str) -> None:
        """End the training before its next step, on all ranks: it evaluates, saves, and is done. One rank may call it alone."""
        self.stop_reason = self.stop_reason or reason


class Callback:
    """Base class of callbacks, built as `factory(options)` in every process: override the methods that are needed.

    Every rank calls each method at the same point, in the order in which the user named the callbacks. A method must not change weights,
    gradients, optimizer state or the global random generators, or a resumed run is not exact. It may use collective operations if every
    rank performs the same ones. An exception ends the run, with the callback's name.
    """

    def on_load_begin(self, training: Training) -> None:
        """The rows are tokenised; the model is loaded next. There is no process group yet."""

    def on_load_end(self, training: Training) -> None:
        """The model is loaded, sharded, and has its tuner and optimizer."""

    def on_train_begin(self, training: Training) -> None:
        """The first step is next; a resumed run has restored its state, also that of `load_state_dict`."""

    def on_step_end(self, training: Training) -> None:
        """An optimizer step is done and its metrics are reported. It may have been skipped (`metrics["skipped"]`)."""

    def on_evaluate(self, training: Training) -> None:
        """The validation loss is computed and reported: before the first step, as `eval_strategy` says, and after the last step."""

    def on_save(self, training: Training, checkpoint: Path) -> None:
        """A checkpoint folder is complete, on every rank. One that could not be written is not reported."""

    def on_score(self, training: Training, step: int, scores: Mapping[str, float]) -> None:
        """The checkpoint of an earlier step has been scored; on rank 0 alone. See `Training.add_scores`."""

    def on_wait(self, training: Training) -> None:
        """The steps are done, and the output waits for scores of checkpoints; called about twice a second, on every rank."""

    def on_train_end(self, training: Training, output: Path) -> None:
        """The output is written. Not called for a run that fails or that the user stops; the hook `swift_run_finished` is."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, as JSON values; rank 0's is saved with each checkpoint, before `on_save`."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, on every rank."""


class Callbacks:
    """The callbacks of a run, in this process.

    Args:
        run: its parts `callback.NAME` are built here.
        report: of the run.
    """

    def __init__(self, run: Run, report: Report) -> None:
        rank, ranks = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
        self.training = Training(run=run, folder=report.folder, rank=rank, ranks=ranks, report=report)
        self._stopped_by = 0  # number of the callback that stops the run, counted from 1
        self._choices = [choice for part, choice in run.parts.items() if part.startswith(PART)]
        self._callbacks: list[Callback] = []
        for choice in self._choices:
            with self._guarded(choice, "its constructor"):
                self._callbacks.append(choice.build())

    def call(self, method: str, *arguments: Any) -> None:
        """Call a method of each callback, with the `Training` and the arguments.

        Raises:
            SwiftError: a callback failed; names the callback, its plugin and the method.
        """
        self.training.evaluating = method == "on_evaluate"
        for number, (choice, callback) in enumerate(zip(self._choices, self._callbacks, strict=True), 1):
            self.training.alive(f"callback {choice.name}, {method}")
            with self._guarded(choice, method):
                function: Callable[..., None] = getattr(callback, method)
                function(self.training, *arguments)
            if self.training.stop_reason and not self._stopped_by:
                self._stopped_by = number
        if self.training.scores.arrived:
            self.call("on_score", *self.training.scores.arrived.popleft())

    @property
    def stopped_by(self) -> int:
        """The number of the callback that stops the run, counted from 1; 0 if none does on this rank."""
        return self._stopped_by

    def reason(self, number: int) -> str:
        """Return why the callback of that number stops the run, for the user; its reason is known on the rank where it called `stop`."""
        name = self._choices[number - 1].name
        return f"{name}: {self.training.stop_reason}" if number == self._stopped_by else f"{name}, on another rank"

    def state(self) -> dict[str, Any]:
        """Return the states of the callbacks, by name."""
        states = {}
        for choice, callback in zip(self._choices, self._callbacks, strict=True):
            with self._guarded(choice, "state_dict"):
                states[choice.name] = json.loads(json.dumps(callback.state_dict()))
        return states

    def restore(self, states: Mapping[str, Any]) -> None:
        """Restore the callbacks that have a saved state."""
        for choice, callback in zip(self._choices, self._callbacks, strict=True):
            if choice.name in states:
                with self._guarded(choice, "load_state_dict"):
                    callback.load_state_dict(states[choice.name])

    @contextmanager
    def _guarded(self, choice: Choice, method: str) -> Iterator[None]:
        """Name the callback and its plugin in what it raises."""
        place = f"the callback '{choice.name}' ({choice.distribution} {choice.version}) failed in {method}"
        try:
            yield
        except Stopped:
            raise
        except SwiftError as error:
            raise error.with_context(message=f"{place}: {error.message}") from error.__cause__
        except Exception as error:
            hint = f"To train without it, omit: --callback {choice.name}. SWIFT_DEBUG=1 shows the traceback."
            raise SwiftError(f"{place}: {type(error).__name__}: {error}", code="TRAIN-098", where="callbacks", hint=hint) from error
