"""The training loop: sampling, loss normalisation, learning rate schedule, evaluation, metrics, checkpoints, stop and resume.

A step samples rows, lets the strategy compute loss and gradients over all ranks, and updates the parameters. The loss is the mean over
what the task counts in the step (supervised tokens, pairs), over all micro-batches and ranks, so it does not depend on how the rows are
split.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import DiskFull, NotWritable, Stopped, SwiftError
from swift_train.checkpoint_scores import ranking_of, wait_for_scores
from swift_train.checkpoints import Checkpoints, complete_checkpoints, read_record
from swift_train.devices import peak_memory
from swift_train.evaluation import evaluate
from swift_train.intervals import Intervals
from swift_train.micro_batches import MicroBatches
from swift_train.nonfinite_loss import nonfinite_rows
from swift_train.online import Interrupted, metrics_of
from swift_train.resume import Resume, changed_settings, check_steps, earlier_checkpoints, first_intact, read_state
from swift_train.run_state import MetricsWindow, RunState
from swift_train.sampler import rows_per_step
from swift_train.save_interval import SaveTimer
from swift_train.schedule import ENDLESS, learning_rate, total_steps
from swift_train.scoring import Step
from swift_train.watchdog import WatchedTask

if TYPE_CHECKING:
    from swift_core.runs import Report
    from swift_train.callbacks import Callbacks
    from swift_train.media.collate import MediaCollator
    from swift_train.options import TrainOptions
    from swift_train.row_comparison import Isolation
    from swift_train.sampler import StepSampler
    from swift_train.samples import Samples
    from swift_train.strategy import Strategy
    from swift_train.tasks import LossTask
    from swift_train.watchdog import Watchdog

_SAVE, _END, _STOP = 1.0, 2.0, 3.0  # requests (save, end as a callback asks, stop as the user asks), reduced over the ranks after each step
_MAX_SKIPPED = 30  # consecutive updates; float16's loss scale needs up to about 16 halvings to fit


class Loop:
    """Runs the training steps; every rank runs the same loop.

    Args:
        task: the forward pass and the loss.
        strategy: the parallel strategy, already built.
        sampler, heldout: the training rows of each step, and rows for evaluation (or None).
        options: of the task.
        rate: peak learning rate.
        max_length: tokens per packed sequence.
        isolation, media: whether several rows may share a forward pass, and what builds the media of micro-batches (or None).
        setup: settings that a resumed run must share with the original one, by name.
        run: the run as JSON, saved with each checkpoint.
        watchdog: a running watchdog.
        write_model: writes the model as a checkpoint folder; called on every rank.
        evaluated_weights: a context in which the model has the weights to evaluate.
        callbacks: called at fixed points, and may end the run.
        report: receives metrics, progress and notes.
    """

    def __init__(
        self, *, task: LossTask, strategy: Strategy, sampler: StepSampler, heldout: Samples | None, options: TrainOptions,
        rate: float, max_length: int, isolation: Isolation, media: MediaCollator | None, setup: Mapping[str, Any], run: Mapping[str, Any],
        watchdog: Watchdog, write_model: Callable[[Path, Mapping[str, Any]], None], callbacks: Callbacks, report: Report,
        evaluated_weights: Callable[[], AbstractContextManager[None]],
    ) -> None:  # fmt: skip
        self.strategy, self.sampler, self.heldout, self.options, self.report = strategy, sampler, heldout, options, report
        self.batches = MicroBatches(options, max_length, isolation, strategy, media)
        self.watchdog, self.callbacks = watchdog, callbacks
        self.task = WatchedTask(task, watchdog)
        self.total = total_steps(options, self.sampler.steps_per_epoch)
        self.rate = learning_rate(options, rate, self.total)
        self.ranking = callbacks.training.ranking = ranking_of(callbacks.training.run, options)
        self.checkpoints = Checkpoints(
            report.folder / "checkpoints", strategy, keep=options.save_total_limit, ranking=self.ranking, run=run,
            awaited=callbacks.training.scores.awaited,
        )  # fmt: skip
        self.earlier: list[Path] = []  # checkpoints of the runs that this one resumes
        self.intervals = Intervals(options, self.sampler.steps_per_epoch, self.total)
        self.setup = {**setup, "rows per step": rows_per_step(options, strategy), "ranks": strategy.data_size} | (
            {"steps": self.total} if options.schedule not in ENDLESS else {}
        )
        self.write_model, self.evaluated_weights = write_model, evaluated_weights
        self.state, self.saved, self.failed_saves, self.ended = RunState(), -1, 0, ""  # ended: why a callback ended the run
        self.last: Path | None = None  # checkpoint of the step `saved`
        self.clock = SaveTimer(options.save_minutes * 60)

    def run(self, resume: Resume | None = None) -> dict[str, Any]:
        """Train, from the start or from a checkpoint, and return the figures.

        Raises:
            Stopped: a stop was requested; a checkpoint was written.
            SwiftError: the loss is not finite, or a required checkpoint could not be written.
            UsageError: the checkpoint is of a different run.
        """
        if resume:
            self._resume(resume)
        began, before = time.perf_counter(), self.state.seconds
        self.clock.start()
        window = MetricsWindow()
        self._call("on_train_begin")
        while True:
            scored = self._evaluate()
            request = self._request()
            if request == _END and self.state.step < self.total:
                self._end()
                continue
            if request == _SAVE or (self.state.step == self.total and scored):
                self._save()
            if self.state.step == self.total and scored:
                if not wait_for_scores(self.callbacks, self.strategy, self.report):
                    raise self._stopped()
                self.checkpoints.prune()
                return self.figures()
            if not scored or request == _STOP:
                raise self._stopped()
            values = self._step()
            self.state.seconds = before + time.perf_counter() - began
            self.clock.step()
            window.add(values)
            window = self._report_step(values, window)
            self.callbacks.training.metrics = values
            self._call("on_step_end")

    def figures(self) -> dict[str, Any]:
        """Return the figures of the run so far, by name."""
        best = self.best()
        more = {"failed_saves": self.failed_saves, "best_checkpoint": best and best.name, "ended_by": self.ended}
        return self.state.figures() | {name: value for name, value in more.items() if value}

    def best(self) -> Path | None:
        """Return the best checkpoint, of this run or of those that it resumes; None if none was evaluated."""
        return self.ranking.best([*self.earlier, *complete_checkpoints(self.checkpoints.folder)])

    def _report_step(self, values: Mapping[str, float], window: MetricsWindow) -> MetricsWindow:
        step = self.state.step
        self.callbacks.training.reported = {}
        if self.intervals.logs(step, self.total):
            epoch = {"epoch": round(step / self.sampler.steps_per_epoch, 4)} if self.sampler.steps_per_epoch else {}
            memory = peak_memory(self.strategy.device)
            reported = {**window.values(), **epoch, "memory_bytes": memory, "seconds": round(self.state.seconds, 3)}
            self.report.metric(step, **reported)
            self.callbacks.training.reported = reported
            window = MetricsWindow()
        shown = {"tokens_per_second": round(values["tokens_per_second"], 1)}
        if isfinite(values["loss"]):
            shown["loss"] = round(values["loss"], 4)
        self.report.progress("train", step, self.total, unit="steps", **shown)
        return window

    def _step(self) -> dict[str, float]:
        began = time.perf_counter()
        self.watchdog.stage(f"step {self.state.step + 1}")
        state = self.state
        try:
            samples, rows = self.sampler.step(state.step)
        except Interrupted as interrupted:
            raise self._stopped(interrupted.error) from interrupted.error
        tokens, supervised = int(samples.lengths[rows].sum()), int(samples.supervised[rows].sum())
        count = self.task.count(samples, rows)
        rate = self.rate(state.updates)
        step = Step(self.strategy, self.task, samples, rows, train=True, batches=self.batches)
        micros = self.task.prepare(step, self.batches.training(samples, rows))
        self.batches.fetch_after(self.sampler, state.step)
        loss = self.strategy.accumulate(micros, self.task.fused(self.strategy), 1 / count)
        metrics = {**metrics_of(self.sampler), **self.task.take_metrics(self.strategy)}
        if not isfinite(loss) and self.options.on_nan == "stop":
            raise self._not_finite(loss, samples, rows)
        self.watchdog.mark("optimizer update")
        update = self.strategy.update(rate, self.options.max_grad_norm or None)
        if not isfinite(loss):
            error = self._not_finite(loss, samples, rows)
            if not update.skipped:  # the loss was infinite, but its gradient finite
                message = f"{error.message}, and the step can't be skipped because its gradient has been applied"
                raise error.with_context(message=message)
            self.report.note(f"WARNING: {error.message}; the step is skipped. Rows: {error.where}")
        state.step += 1
        state.updates += not update.skipped
        state.skipped = state.skipped + 1 if update.skipped else 0
        if state.skipped == _MAX_SKIPPED:
            raise SwiftError(
                f"the gradient was not finite in {_MAX_SKIPPED} consecutive steps, up to step {state.step}",
                code="TRAIN-030",
                hint="Try a lower --learning-rate, or --dtype bfloat16 or float32.",
            )
        state.tokens, state.supervised = state.tokens + tokens, state.supervised + supervised
        if isfinite(loss):
            state.losses = [*state.losses[:1], loss]
        seconds = time.perf_counter() - began
        values = {"loss": loss, "grad_norm": update.norm, "learning_rate": rate, "tokens": tokens, "supervised": supervised}
        return values | {"tokens_per_second": tokens / seconds, "skipped": int(update.skipped)} | metrics

    def _evaluate(self) -> bool:
        """Evaluate on the held-out rows, if due; return False if a stop request interrupted it."""
        held, state = self.heldout, self.state
        if held is None or state.evaluated == state.step or not self.intervals.evaluates(state.step, self.total):
            return True
        self.watchdog.stage(f"evaluation after step {state.step}")
        try:
            with self.evaluated_weights():
                metrics = evaluate(held, self.task, self.strategy, self.batches, self.report, sampler=self.sampler, step=state.step)
        except Interrupted as interrupted:
            raise self._stopped(interrupted.error) from interrupted.error
        if not metrics:
            return False
        state.heldout, state.evaluated = [*state.heldout[:1], next(iter(metrics.values()))], state.step
        self.report.metric(state.step, **{f"heldout_{name}": value for name, value in metrics.items()})
        self.callbacks.training.evaluated = metrics
        self._call("on_evaluate")
        if not self.ranking.late and self.ranking.better(score := self.callbacks.training.score, state.best):
            state.best, state.best_step = score, state.step
        return True

    def _request(self) -> float:
        """Return what all ranks do next: save, stop or neither. The clock of rank 0 decides whether a checkpoint is due."""
        step = self.state.step
        due = self.intervals.saves(step, best=self.state.best_step == step, timer=self.strategy.writer and self.clock.due())
        ends = _END * bool(self.callbacks.stopped_by)
        return self.strategy.reduce(max(_STOP * self.report.stop_requested, ends, _SAVE * bool(step and due)), "max")

    def _end(self) -> None:
        """Make this step the last one, on all ranks."""
        self.ended = self.callbacks.reason(int(self.strategy.reduce(float(self.callbacks.stopped_by), "max")))
        self.report.note(f"Training ends after step {self.state.step} of {self.total}: {self.ended}.")
        self.total = self.state.step

    def _call(self, method: str, *arguments: Path) -> None:
        """Call the callbacks with the current state."""
        training, state = self.callbacks.training, self.state
        training.step, training.total_steps = state.step, self.total
        self.callbacks.call(method, *arguments)

    def _stopped(self, failure: SwiftError | None = None) -> SwiftError:
        """Save, and return the error to raise: a stop that was requested, or what made the next step impossible."""
        if failure is None or self.state.step:
            self._save(needed=True)
        hint = f"To continue, run the same command with --resume {shlex.quote(str(self.report.folder))}"
        if failure:
            return failure.with_context(hint=f"{failure.hint} {hint if self.state.step else ''}".strip())
        return Stopped(f"stopped after step {self.state.step} of {self.total}; a checkpoint was written", code="TRAIN-031", hint=hint)

    def _save(self, *, needed: bool = False) -> None:
        """Write a checkpoint, at most once per step. Unless it is `needed`, training continues if the disk is full or fails."""
        if self.saved == self.state.step:
            return
        step = self.state.step
        self.watchdog.stage(f"checkpoint of step {step}")
        state = {"state": asdict(self.state), "setup": self.setup, "position": self.sampler.position()}
        state["callbacks"] = self.callbacks.state()
        metrics = self.callbacks.training.evaluated if self.state.evaluated == step else {}
        try:
            whole = needed or not self.options.save_only_model
            path = self.checkpoints.save(step, state, metrics, lambda folder: self.write_model(folder, self.figures()), whole=whole)
        except (DiskFull, NotWritable) as error:
            last = complete_checkpoints(self.checkpoints.folder)[-1:]
            hint = f"{error.hint} {f'The last complete checkpoint is {last[0]}.' if last else 'There is no checkpoint yet.'}"
            failure = error.with_context(hint=hint)
            if needed:
                raise failure from error.__cause__
            self.failed_saves += 1
            self.report.note(f"WARNING: training continues without a checkpoint of step {step}: {failure}")
            return
        finally:
            self.clock.start()
        self.saved, self.last = step, path
        self.report.note(f"Checkpoint: {path}")
        self._call("on_save", path)

    def _resume(self, resume: Resume) -> None:
        self.watchdog.stage("loading the checkpoint to resume from")
        checkpoint = first_intact(resume.candidates, self.strategy, self.report)
        saved = read_state(checkpoint)
        changed = changed_settings(saved["setup"], self.setup, checkpoint, allow=resume.allow_change)
        self.strategy.load(checkpoint / "state")
        self.state = RunState(**saved["state"])
        self.sampler.seek(saved["position"])
        self.callbacks.restore(saved.get("callbacks", {}))
        self.callbacks.training.evaluated = dict(read_record(checkpoint).get("metrics", {}))
        self.callbacks.training.resumed = checkpoint
        self.earlier = earlier_checkpoints(checkpoint)
        self.saved = self.state.step if self.state.step < self.total else -1  # the last one is written to this run's folder too
        self.report.note(f"Resuming from {checkpoint}, after step {self.state.step} of {self.total}.")
        if changed:
            self.report.note(f"The run differs from the interrupted one; changed settings:\n{changed}")
        check_steps(self.state.step, self.total, checkpoint)

    def _not_finite(self, loss: float, samples: Samples, rows: list[int]) -> SwiftError:
        named, hint = nonfinite_rows(samples, rows, batches=self.batches, strategy=self.strategy, task=self.task)
        return SwiftError(f"the loss is {loss} at step {self.state.step + 1}", code="TRAIN-033", where=named, hint=hint)
