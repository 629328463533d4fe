"""Detect a process that hangs, name it, and end the run: the other ranks would wait for it, and torch's own timeout names no process.

Every process counts checkpoints of its progress, which are the same on all ranks, and writes its count into `ranks/` of the run folder. If
there is no progress for `timeout` seconds, the stacks of its threads are written there too, from C, so that even code that holds Python's
GIL can't prevent it. The process that notices compares the counts: the ranks with the lowest count are the ones that hang.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from swift_core.contract import SwiftError
from swift_train.ranks import rank_and_size
from swift_train.scoring import gather
from swift_train.tasks import FusedLossTask, Loss

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_core.runs import Report
    from swift_train.batches import Micro
    from swift_train.strategy import Strategy
    from swift_train.tasks import ForwardLoss, LossTask

FOLDER = "ranks"  # in the run folder
_SUSPENDED = 5.0  # seconds that the watchdog thread itself was late: the machine slept or was overloaded


class Progress(NamedTuple):
    """Progress of a process: stages begun, marks passed in the current stage, a description, and the id of the main thread."""

    stage: int
    mark: int
    doing: str
    thread: str


class Watchdog:
    """Watch this process while the `with` block runs; `mark` records progress.

    Args:
        report: of the run; its folder is shared by all processes.
        timeout: maximum seconds between two marks.
    """

    def __init__(self, report: Report, timeout: float) -> None:
        self._report, self._timeout, self._folder = report, timeout, report.folder / FOLDER
        self._rank, self._ranks = rank_and_size()
        self._tick = min(10.0, timeout / 10)
        self._ended = threading.Event()
        self._limit = timeout
        self._progress, self._stage = Progress(0, 0, "starting", f"{threading.main_thread().ident:#018x}"), ""

    def stage(self, text: str, *, patience: float = 1.0) -> None:
        """Begin a new stage of the run, in which marks may be `patience` times as far apart."""
        self._stage, self._limit = text, self._timeout * patience
        self._progress = self._progress._replace(stage=self._progress.stage + 1, mark=0, doing=text)

    def mark(self, text: str) -> None:
        """Record progress in the current stage."""
        self._progress = self._progress._replace(mark=self._progress.mark + 1, doing=f"{self._stage}, {text}")

    def __enter__(self) -> Watchdog:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stack = self._stack_file(self._rank).open("wb")
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()
        self._stack.close()
        with suppress(OSError):  # other ranks may still use the folder
            self._stack_file(self._rank).unlink()
            self._progress_file(self._rank).unlink()
            self._folder.rmdir()

    def _watch(self) -> None:
        seen: Progress | None = None
        moved = ticked = time.monotonic()
        while not self._ended.wait(self._tick if seen else 0):
            now = time.monotonic()
            if self._progress is not seen or now - ticked > self._tick + _SUSPENDED:
                seen, moved = self._progress, now
                self._publish(seen)
                faulthandler.dump_traceback_later(self._limit, file=self._stack)
            elif now - moved > self._limit + self._tick:
                self._report.error(self._diagnosis())
                os._exit(1)  # the main thread hangs, so the process can't end otherwise
            ticked = now

    def _publish(self, progress: Progress) -> None:
        with suppress(OSError):  # a full disk
            self._progress_file(self._rank).write_text(json.dumps(progress), encoding="utf-8")

    def _diagnosis(self) -> SwiftError:
        ranks = [self._read(rank) for rank in range(self._ranks)]
        lowest = min(progress[:2] for progress in ranks)
        behind = [rank for rank, progress in enumerate(ranks) if progress[:2] == lowest]
        names = "the process" if self._ranks == 1 else f"process {', '.join(map(str, behind))} of {self._ranks}"
        if 1 < len(behind) == self._ranks:
            names = "every process"
        frames = "; ".join(dict.fromkeys(self._frame(rank, ranks[rank]) for rank in behind))
        return SwiftError(
            f"{names} has made no progress for {self._limit:g} s: {ranks[behind[0]].doing}",
            code="TRAIN-090",
            where=str(self._stack_file(behind[0])),
            hint=f"It hangs in {frames}. If this may take so long, set a longer --parallel.timeout; continue the run with --resume.",
        )

    def _frame(self, rank: int, progress: Progress) -> str:
        """Return the innermost frame of a process's main thread, as text."""
        with suppress(OSError):
            stacks = self._stack_file(rank).read_text(encoding="utf-8", errors="replace")
            for block in stacks.split("\n\n"):
                found = re.search(r'File "(.*)", line (\d+) in (\S+)', block) if f"Thread {progress.thread}" in block else None
                if found:
                    return f"{found[1]}, line {found[2]}, in {found[3]}"
        return "an unknown place: the process is stopped or has ended"

    def _read(self, rank: int) -> Progress:
        with suppress(OSError, ValueError):
            return Progress(*json.loads(self._progress_file(rank).read_text(encoding="utf-8")))
        return Progress(0, 0, "not started", "")

    def _progress_file(self, rank: int) -> Path:
        return self._folder / f"rank-{rank}.json"

    def _stack_file(self, rank: int) -> Path:
        return self._folder / f"rank-{rank}.stack.txt"


class WatchedTask:
    """A task whose forward and backward passes are marked, so that a rank that hangs in one has a lower count than those waiting for it.

    It adds up the metrics of the losses.
    """

    def __init__(self, task: LossTask, watchdog: Watchdog) -> None:
        self._task, self._watchdog = task, watchdog
        self.options, self.truncation, self.encoder, self.reference = task.options, task.truncation, task.encoder, task.reference
        self.count, self.prepare, self.evaluated_together = task.count, task.prepare, task.evaluated_together
        self.whole_rows = task.whole_rows
        self._metrics: dict[str, list[float]] = {}

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Run the task's forward pass, with marks around it."""
        self._watchdog.mark("a forward pass")
        output = self._task.forward(model, micro)
        self._watchdog.mark("a backward pass")
        return output

    def fused(self, strategy: Strategy) -> ForwardLoss:
        """Return forward pass and loss as one, if the task has them so and no stage of a pipeline computes one of them alone."""
        return _FusedLoss(self, self._task) if isinstance(self._task, FusedLossTask) and not strategy.fixed_shapes else self

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """Return the sum of the task's losses."""
        return self.added(self._task.loss(output, micro))

    def mark(self, doing: str) -> None:
        """Mark what is being done."""
        self._watchdog.mark(doing)

    def added(self, found: Tensor | Loss) -> Tensor:
        """Add up the metrics of a loss, and return its sum."""
        if not isinstance(found, Loss):
            return found
        for name, (total, count) in found.metrics.items():
            sums = self._metrics.setdefault(name, [0.0, 0.0])
            sums[0], sums[1] = sums[0] + float(total), sums[1] + float(count)
        return found.sum

    def take_metrics(self, strategy: Strategy) -> dict[str, float]:
        """Return the means of the metrics over all ranks since the last call. Collective.

        Copies of a micro-batch (tensor parallelism) are in sum and count alike.
        """
        names = {name: None for part in gather(strategy, list(self._metrics)) for name in part}
        means = {}
        for name in names:
            total, count = (strategy.reduce(value, "sum") for value in self._metrics.get(name, [0.0, 0.0]))
            if count:
                means[name] = total / count
        self._metrics.clear()
        return means


class _FusedLoss:
    """The forward pass and the loss of a watched task as one."""

    def __init__(self, watched: WatchedTask, task: FusedLossTask) -> None:
        self._watched, self._task = watched, task

    def forward(self, model: Module, micro: Micro) -> Tensor:
        self._watched.mark("a forward pass")
        total = self._watched.added(self._task.forward_loss(model, micro))
        self._watched.mark("a backward pass")
        return total

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        return output
