"""The one training loop: sampler, normalisation, schedule, evaluation, metrics, checkpoints, stop and resume.

A step takes some rows, lets the strategy compute loss and gradient over all ranks, and updates. The loss is the mean over all
supervised tokens of the step, over all micro-batches and ranks, so that it does not depend on how the rows were cut.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from math import ceil, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import DiskFull, NotWritable, Stopped, SwiftError, UsageError
from swift_train.batches import RowGroup, collate, max_micro_tokens, split_rows
from swift_train.checkpoints import Checkpoints, best_checkpoint, complete_checkpoints
from swift_train.nonfinite_loss import nonfinite_rows
from swift_train.resume import Resume, changed_settings, first_intact, read_state
from swift_train.run_state import MetricsWindow, RunState
from swift_train.sampler import make_sampler
from swift_train.save_interval import SaveTimer
from swift_train.schedule import learning_rate
from swift_train.watchdog import WatchedTask

if TYPE_CHECKING:
    from swift_core.runs.events import Report
    from swift_train.batches import Micro
    from swift_train.options import TrainOptions
    from swift_train.row_isolation import Isolation
    from swift_train.samples import Samples
    from swift_train.strategy import Strategy
    from swift_train.stream import Stream
    from swift_train.tasks import LossTask
    from swift_train.watchdog import Watchdog

_SAVE, _STOP = 1.0, 2.0  # what the ranks agree on after a step
_MOST_SKIPPED = 30  # float16's loss scale needs up to about 16 halvings to fit; a run that skips on is broken
_EVALUATED_AT_ONCE = 32


class Loop:
    """Trains until the last step, on every rank alike.

    Args:
        task, strategy: what is learned, and how it is spread; the strategy is built.
        rows, heldout: rows to learn, and rows that are only scored (or None).
        options: the task's.
        rate: highest learning rate.
        longest: tokens of a packed row.
        isolation: whether several rows may go through the model at once.
        setup: whatever must be the same for a resumed run to be the same run, by name.
        run: the run, as JSON, kept with each checkpoint.
        watchdog: runs, and is told where the loop is.
        write_model: writes the model as a checkpoint folder; called on every rank.
    """

    def __init__(
        self, *, task: LossTask, strategy: Strategy, rows: Samples | Stream, heldout: Samples | None, options: TrainOptions,
        rate: float, longest: int, isolation: Isolation, setup: Mapping[str, Any], run: Mapping[str, Any], watchdog: Watchdog,
        write_model: Callable[[Path, Mapping[str, Any]], None], report: Report,
    ) -> None:  # fmt: skip
        self.strategy, self.heldout, self.options, self.report, self.longest = strategy, heldout, options, report, longest
        self.isolation, self.watchdog = isolation, watchdog
        self.task: LossTask = WatchedTask(task, watchdog)
        per_step = options.batch_size * options.gradient_accumulation_steps * strategy.data_size
        self.sampler = make_sampler(rows, per_step, options, longest)
        self.total = total_steps(options, self.sampler.steps_per_epoch)
        self.rate = learning_rate(options, rate, self.total)
        self.checkpoints = Checkpoints(report.folder / "checkpoints", strategy, options.save_total_limit, run)
        self.setup = {**setup, "rows a step": per_step, "ranks": strategy.data_size} | (
            {"steps": self.total} if options.schedule != "constant" else {}
        )
        self.write_model = write_model
        self.state, self.saved, self.failed_saves = RunState(), -1, 0
        self.last: Path | None = None  # the checkpoint of the step `saved`
        self.clock = SaveTimer(options.save_minutes * 60)

    def run(self, resume: Resume | None = None) -> dict[str, Any]:
        """Train, from the start or from a checkpoint, and return the figures.

        Raises:
            Stopped: a stop was asked for; a checkpoint was written.
            SwiftError: the loss is not finite, or a checkpoint could not be written.
            UsageError: the checkpoint is of another run.
        """
        if resume:
            self._resume(resume)
        began, before = time.perf_counter(), self.state.seconds
        self.clock.start()
        window = MetricsWindow()
        while True:
            scored = self._evaluate()
            asked = self._asked()
            if asked == _SAVE or (self.state.step == self.total and scored):
                self._save()
            if self.state.step == self.total and scored:
                return self.figures()
            if not scored or asked == _STOP:
                raise self._stopped()
            values = self._step()
            self.state.seconds = before + time.perf_counter() - began
            self.clock.step()
            window.add(values)
            window = self._tell(values, window)

    def figures(self) -> dict[str, Any]:
        """The run's numbers so far."""
        figures = self.state.figures()
        if self.failed_saves:
            figures["failed_saves"] = self.failed_saves
        if lowest := best_checkpoint(complete_checkpoints(self.checkpoints.folder)):
            figures["best_checkpoint"] = lowest.name
        return figures

    def _tell(self, values: Mapping[str, float], window: MetricsWindow) -> MetricsWindow:
        step, options = self.state.step, self.options
        if step % options.logging_steps == 0 or step in (1, self.total):
            epoch = {"epoch": round(step / self.sampler.steps_per_epoch, 4)} if self.sampler.steps_per_epoch else {}
            self.report.metric(step, **window.values(), **epoch, seconds=round(self.state.seconds, 3))
            window = MetricsWindow()
        shown = {"tokens_per_second": round(values["tokens_per_second"], 1)}
        if isfinite(values["loss"]):
            shown["loss"] = round(values["loss"], 4)
        self.report.progress("train", step, self.total, unit="steps", **shown)
        return window

    def _step(self) -> dict[str, float]:
        began = time.perf_counter()
        self.watchdog.stage(f"step {self.state.step + 1}")
        state, (samples, rows) = self.state, self.sampler.step(self.state.step)
        tokens, supervised = int(samples.lengths[rows].sum()), int(samples.supervised[rows].sum())
        rate = self.rate(state.updates)
        max_rows = len(rows) if self.options.packing else self.options.batch_size
        pieces = self._cut(rows, samples, self.strategy.data_rank, max_rows)
        loss = self.strategy.accumulate(self._micros(samples, pieces), self.task, 1 / supervised)
        if not isfinite(loss) and self.options.on_nan == "stop":
            raise self._not_finite(loss, samples, rows)
        self.watchdog.mark("the update")
        update = self.strategy.update(rate, self.options.max_grad_norm or None)
        if not isfinite(loss):
            error = self._not_finite(loss, samples, rows)
            if not update.skipped:  # a finite gradient of an infinite loss
                error.message += " and can't be skipped: its gradient was learned"
                raise error
            self.report.note(f"WARNING: {error.message}, and the step is skipped. The rows: {error.where}")
        state.step += 1
        state.updates += not update.skipped
        state.skipped = state.skipped + 1 if update.skipped else 0
        if state.skipped == _MOST_SKIPPED:
            raise SwiftError(
                f"the gradient was not finite {_MOST_SKIPPED} times in a row, up to step {state.step}",
                hint="Try a lower --learning-rate, or --dtype bfloat16 or float32.",
            )
        state.tokens, state.supervised = state.tokens + tokens, state.supervised + supervised
        if isfinite(loss):
            state.losses = [*state.losses[:1], loss]
        seconds = time.perf_counter() - began
        values = {"loss": loss, "grad_norm": update.norm, "learning_rate": rate, "tokens": tokens, "supervised": supervised}
        return values | {"tokens_per_second": tokens / seconds, "skipped": int(update.skipped)}

    def _cut(self, rows: Sequence[int], samples: Samples, rank: int, max_rows: int) -> list[RowGroup]:
        limit = max_micro_tokens(self.options.micro_tokens, self.strategy.device)
        if self.options.packing:
            limit = min(limit, self.longest * self.options.batch_size)
        max_rows = max_rows if self.isolation.together else 1
        return split_rows(rows, samples.lengths, rank=rank, ranks=self.strategy.data_size, max_rows=max_rows, max_tokens=limit)

    def _micros(self, samples: Samples, pieces: Sequence[RowGroup]) -> list[Micro]:
        return [collate(samples, piece, self.isolation.boundaries) for piece in pieces]

    def _evaluate(self) -> bool:
        """Mean loss over the supervised tokens of the rows held out, where it is due; False where a stop came in between."""
        strategy, options, held, state = self.strategy, self.options, self.heldout, self.state
        due = state.step in (0, self.total) or (options.eval_steps and state.step % options.eval_steps == 0)
        if held is None or not due or state.evaluated == state.step:
            return True
        self.watchdog.stage(f"the evaluation after step {state.step}")
        pieces = self._cut(range(len(held)), held, strategy.data_rank, options.eval_batch_size or options.batch_size)
        total, count = 0.0, int(held.supervised.sum())
        for start in range(0, len(pieces), _EVALUATED_AT_ONCE):
            if self._stopping():
                return False
            self.report.progress("evaluate", start, len(pieces))
            micros = self._micros(held, pieces[start : start + _EVALUATED_AT_ONCE])
            total += strategy.accumulate(micros, self.task, 1 / count, train=False)
        self.report.progress("evaluate", len(pieces), len(pieces))
        state.heldout, state.evaluated = [*state.heldout[:1], total], state.step
        self.report.metric(state.step, heldout_loss=total)
        return True

    def _asked(self) -> float:
        """What all ranks do now; the first rank's clock says whether a checkpoint is due."""
        step, every = self.state.step, self.options.save_steps
        due = step % every == 0 if every else self.strategy.writer and self.clock.due()
        return self.strategy.reduce(max(_STOP * self.report.stop_requested, _SAVE * bool(step and due)), "max")

    def _stopping(self) -> bool:
        return bool(self.strategy.reduce(float(self.report.stop_requested), "max"))

    def _stopped(self) -> Stopped:
        self._save(needed=True)
        hint = f"To go on from there: the same command with --resume {shlex.quote(str(self.report.folder))}"
        return Stopped(f"stopped after step {self.state.step} of {self.total}; a checkpoint was written", hint=hint)

    def _save(self, *, needed: bool = False) -> None:
        """Write a checkpoint, once a step. A full or failing disk is no reason to lose what is learned, unless it is `needed` now."""
        if self.saved == self.state.step:
            return
        step = self.state.step
        self.watchdog.stage(f"the checkpoint of step {step}")
        state = {"state": asdict(self.state), "setup": self.setup, "position": self.sampler.position()}
        score = self.state.heldout[-1] if self.state.evaluated == step else None
        try:
            path = self.checkpoints.save(step, state, score, lambda folder: self.write_model(folder, self.figures()))
        except (DiskFull, NotWritable) as error:
            last = complete_checkpoints(self.checkpoints.folder)[-1:]
            error.hint = f"{error.hint} {f'The last whole checkpoint is {last[0]}.' if last else 'There is no checkpoint yet.'}"
            if needed:
                raise
            self.failed_saves += 1
            self.report.note(f"WARNING: training goes on without a checkpoint of step {step}: {error}")
            return
        finally:
            self.clock.start()
        self.saved, self.last = step, path
        self.report.note(f"Checkpoint: {path}")

    def _resume(self, resume: Resume) -> None:
        self.watchdog.stage("the checkpoint to go on from")
        checkpoint = first_intact(resume.candidates, self.strategy, self.report)
        saved = read_state(checkpoint)
        changed = changed_settings(saved["setup"], self.setup, checkpoint, allow=resume.allow_change)
        self.strategy.load(checkpoint / "state")
        self.state = RunState(**saved["state"])
        self.sampler.seek(saved["position"])
        self.saved = self.state.step if self.state.step < self.total else -1  # the last is kept in this run's folder too
        self.report.note(f"Going on from {checkpoint}, after step {self.state.step} of {self.total}.")
        if changed:
            self.report.note(f"Not exactly the run that was interrupted; changed are\n{changed}")
        if self.state.step > self.total:
            raise UsageError(f"the run of {self.total} steps is past its end", where=str(checkpoint), hint="Ask for more steps.")

    def _not_finite(self, loss: float, samples: Samples, rows: list[int]) -> SwiftError:
        named, hint = nonfinite_rows(
            samples, rows, alone=lambda rank: self._cut(rows, samples, rank, max_rows=1), strategy=self.strategy, task=self.task
        )
        return SwiftError(f"the loss is {loss} at step {self.state.step + 1}", where=named, hint=hint)


def total_steps(options: TrainOptions, epoch: int | None) -> int:
    """Steps of a run: `max_steps`, else so many as `epochs` of so many steps need.

    Raises:
        UsageError: neither is known.
    """
    if not options.max_steps and not epoch:
        raise UsageError("how long a stream is can't be known", where="max_steps", hint="Say how many steps to learn: --max-steps 1000.")
    return options.max_steps or ceil(options.epochs * (epoch or 0))
