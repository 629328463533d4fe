"""The one training loop: sampler, normalisation, schedule, evaluation, metrics, checkpoints, stop and resume.

A step takes some rows, lets the strategy compute loss and gradient over all ranks, and updates. The loss is the mean over all
supervised tokens of the step, over all micro-batches and ranks, so that it does not depend on how the rows were cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.errors import Stopped, SwiftError, UsageError
from swift_train.batches import Piece, collate, most_tokens, share
from swift_train.checkpoints import Checkpoints, check_same, read_state
from swift_train.feed import feed_of
from swift_train.schedule import learning_rate

if TYPE_CHECKING:
    from swift_core.reporting import Report
    from swift_train.options import TrainOptions
    from swift_train.samples import Samples
    from swift_train.strategy import Strategy
    from swift_train.stream import Stream
    from swift_train.tasks import LossTask

_MOST_SKIPPED = 30  # float16's loss scale needs up to about 16 halvings to fit; a run that skips on is broken
_EVALUATED_AT_ONCE = 32


@dataclass(slots=True)
class State:
    """Where the loop is: all that a resumed run needs beside the strategy's own."""

    step: int = 0  # steps of data done
    updates: int = 0  # updates applied, the schedule's position
    skipped: int = 0  # updates left out in a row
    tokens: int = 0
    supervised: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)  # the first and the last
    heldout: list[float] = field(default_factory=list)  # before and last


class Loop:
    """Trains until the last step, on every rank alike.

    Args:
        task, strategy: what is learned, and how it is spread; the strategy is built.
        rows, heldout: rows to learn, and rows that are only scored (or None).
        options: the task's.
        rate: highest learning rate.
        longest: tokens of a packed row.
        setup: whatever must be the same for a resumed run to be the same run, by name.
        write_model: writes the model as a checkpoint folder; called on every rank.
    """

    def __init__(
        self, *, task: LossTask, strategy: Strategy, rows: Samples | Stream, heldout: Samples | None, options: TrainOptions,
        rate: float, longest: int, setup: Mapping[str, Any], write_model: Callable[[Path, Mapping[str, Any]], None], report: Report,
    ) -> None:  # fmt: skip
        self.task, self.strategy, self.heldout, self.options, self.report = task, strategy, heldout, options, report
        self.longest = longest
        per_step = options.batch_size * options.gradient_accumulation_steps * strategy.data_size
        self.feed = feed_of(rows, per_step, options, longest)
        self.total = total_steps(options, self.feed.epoch)
        self.rate = learning_rate(options, rate, self.total)
        self.checkpoints = Checkpoints(report.folder / "checkpoints", strategy, options.save_total_limit)
        self.setup = {**setup, "rows a step": per_step, "ranks": strategy.data_size} | (
            {"steps": self.total} if options.schedule != "constant" else {}
        )
        self.write_model = write_model
        self.state = State()

    def run(self, resume: Path | None = None) -> dict[str, Any]:
        """Train, from the start or from a checkpoint, and return the figures.

        Raises:
            Stopped: a stop was asked for; a checkpoint was written.
            SwiftError: the loss is not finite, or a checkpoint could not be written.
            UsageError: the checkpoint is of another run.
        """
        if resume:
            self._resume(resume)
        else:
            self._evaluate()
        began, before = time.perf_counter(), self.state.seconds
        window = _Window()
        while self.state.step < self.total:
            if self.strategy.reduce(float(self.report.stop_requested), "max"):
                self._save()
                hint = f"To go on from there: the same command with --resume {self.report.folder}"
                raise Stopped(f"stopped after step {self.state.step} of {self.total}; a checkpoint was written", hint=hint)
            values = self._step()
            self.state.seconds = before + time.perf_counter() - began
            window.add(values)
            step, options = self.state.step, self.options
            last = step == self.total
            if step % options.logging_steps == 0 or last or self.state.step == 1:
                epoch = {"epoch": round(step / self.feed.epoch, 4)} if self.feed.epoch else {}
                self.report.metric(step, **window.values(), **epoch, seconds=round(self.state.seconds, 3))
                window = _Window()
            self.report.progress(
                "train",
                step,
                self.total,
                unit="steps",
                loss=round(values["loss"], 4),
                tokens_per_second=round(values["tokens_per_second"], 1),
            )
            if last or (options.eval_steps and step % options.eval_steps == 0):
                self._evaluate()
            if step % options.save_steps == 0:
                self._save()
        return self.figures()

    def figures(self) -> dict[str, Any]:
        """The run's numbers so far."""
        state = self.state
        figures: dict[str, Any] = {
            "steps": state.step,
            "tokens": state.tokens,
            "supervised": state.supervised,
            "seconds": round(state.seconds, 3),
        }
        figures |= dict(zip(("loss_first", "loss_last"), state.losses, strict=False))
        return figures | dict(zip(("heldout_before", "heldout_after"), state.heldout, strict=False))

    def _step(self) -> dict[str, float]:
        began = time.perf_counter()
        state, (samples, rows) = self.state, self.feed.step(self.state.step)
        tokens, supervised = int(samples.lengths[rows].sum()), int(samples.supervised[rows].sum())
        rate = self.rate(state.updates)
        most_rows = len(rows) if self.options.packing else self.options.batch_size
        pieces = self._cut(rows, samples, self.strategy.data_rank, most_rows)
        loss = self.strategy.accumulate([collate(samples, piece) for piece in pieces], self.task, 1 / supervised)
        if not isfinite(loss):
            raise self._not_finite(loss, samples, rows)
        update = self.strategy.update(rate, self.options.max_grad_norm or None)
        state.step += 1
        state.updates += not update.skipped
        state.skipped = state.skipped + 1 if update.skipped else 0
        if state.skipped == _MOST_SKIPPED:
            raise SwiftError(
                f"the gradient was not finite {_MOST_SKIPPED} times in a row, up to step {state.step}",
                hint="Try a lower --learning-rate, or --dtype bfloat16 or float32.",
            )
        state.tokens, state.supervised = state.tokens + tokens, state.supervised + supervised
        state.losses = [*state.losses[:1], loss]
        seconds = time.perf_counter() - began
        values = {"loss": loss, "grad_norm": update.norm, "learning_rate": rate, "tokens": tokens, "supervised": supervised}
        return values | {"tokens_per_second": tokens / seconds, "skipped": int(update.skipped)}

    def _cut(self, rows: Sequence[int], samples: Samples, rank: int, most_rows: int) -> list[Piece]:
        limit = most_tokens(self.options.micro_tokens, self.strategy.device)
        if self.options.packing:
            limit = min(limit, self.longest * self.options.batch_size)
        return share(rows, samples.lengths, rank=rank, ranks=self.strategy.data_size, most_rows=most_rows, most_tokens=limit)

    def _evaluate(self) -> None:
        """Mean loss over the supervised tokens of the rows held out."""
        if self.heldout is None:
            return
        strategy, options, held = self.strategy, self.options, self.heldout
        pieces = self._cut(range(len(held)), held, strategy.data_rank, options.eval_batch_size or options.batch_size)
        total, count = 0.0, int(held.supervised.sum())
        for start in range(0, len(pieces), _EVALUATED_AT_ONCE):
            self.report.progress("evaluate", start, len(pieces))
            micros = [collate(held, piece) for piece in pieces[start : start + _EVALUATED_AT_ONCE]]
            total += strategy.accumulate(micros, self.task, 1 / count, train=False)
        self.report.progress("evaluate", len(pieces), len(pieces))
        self.state.heldout = [*self.state.heldout[:1], total]
        self.report.metric(self.state.step, heldout_loss=total)

    def _save(self) -> None:
        state = {"state": asdict(self.state), "setup": self.setup, "position": self.feed.position()}
        path = self.checkpoints.save(self.state.step, state, lambda folder: self.write_model(folder, self.figures()))
        self.report.note(f"Checkpoint: {path}")

    def _resume(self, checkpoint: Path) -> None:
        saved = read_state(checkpoint)
        check_same(saved["setup"], self.setup, checkpoint)
        self.strategy.load(checkpoint / "state")
        self.state = State(**saved["state"])
        self.feed.seek(saved["position"])
        self.report.note(f"Going on from {checkpoint}, after step {self.state.step} of {self.total}.")

    def _not_finite(self, loss: float, samples: Samples, rows: list[int]) -> SwiftError:
        """Find the rows whose loss is not a number. Every rank sees the same sums, so that all go through this together."""
        shares = [self._cut(rows, samples, rank, most_rows=1) for rank in range(self.strategy.data_size)]  # each row alone
        own = shares[self.strategy.data_rank]
        bad = [
            row
            for index, piece in enumerate(own)
            if not isfinite(self.strategy.accumulate([collate(samples, piece)], self.task, 1.0, train=False))
            for part in shares
            for row in part[index].rows
        ]
        named = "; ".join(sorted({samples.origin(row) for row in (bad or rows)})[:8])
        if len({*bad}) == len(rows):
            hint = (
                "It is so for every row, so the weights have diverged: try a lower --learning-rate, or resume from an earlier checkpoint."
            )
        else:
            hint = "Look at these rows; try a lower --learning-rate, or --dtype float32."
        return SwiftError(f"the loss is {loss} at step {self.state.step + 1}; nothing was learned from it", where=named, hint=hint)


class _Window:
    """The steps since the last report: means of the losses, sums of the tokens, the rest as it was last."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def add(self, values: dict[str, float]) -> None:
        self.steps.append(values)

    def values(self) -> dict[str, float]:
        last, tokens = self.steps[-1], sum(step["tokens"] for step in self.steps)
        seconds = sum(step["tokens"] / step["tokens_per_second"] for step in self.steps)
        sums: dict[str, float] = {"tokens": tokens, "supervised": sum(step["supervised"] for step in self.steps)}
        if skipped := sum(step["skipped"] for step in self.steps):
            sums["skipped"] = skipped
        loss = sum(step["loss"] for step in self.steps) / len(self.steps)
        return {
            "loss": loss,
            "grad_norm": last["grad_norm"],
            "learning_rate": last["learning_rate"],
            **sums,
            "tokens_per_second": round(tokens / seconds, 2),
        }


def total_steps(options: TrainOptions, epoch: int | None) -> int:
    """Steps of a run: `max_steps`, else so many as `epochs` of so many steps need.

    Raises:
        UsageError: neither is known.
    """
    if not options.max_steps and not epoch:
        raise UsageError("how long a stream is can't be known", where="max_steps", hint="Say how many steps to learn: --max-steps 1000.")
    return options.max_steps or ceil(options.epochs * (epoch or 0))
