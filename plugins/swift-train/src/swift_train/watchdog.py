"""Names a process that hangs, and ends the run: the others would wait for it, and torch's own limit is half an hour and names nobody.

Every process counts the places that it passes, which are the same on all of them, and writes into `ranks/` of the run folder how far it
is. Where it has passed none for `timeout` seconds, the stacks of its threads are written there too, from C, so that even code that keeps
Python's lock can't prevent it. Whoever notices compares the counts: the others wait for those with the lowest.
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

from swift_core.contract.errors import SwiftError
from swift_train.ranks import rank_and_size

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_core.runs.events import Report
    from swift_train.batches import Micro
    from swift_train.tasks import LossTask

FOLDER = "ranks"  # in the run folder
_SUSPENDED = 5.0  # seconds that the watch itself stood still: the machine slept, or was too busy to tell


class Place(NamedTuple):
    """How far a process is: parts of the work begun, places passed in the last of them, that in words, and the main thread's number."""

    stage: int
    mark: int
    doing: str
    thread: str


class Watchdog:
    """Watches this process while the block runs; `mark` says that it moves.

    Args:
        report: of the run; its folder is shared by all processes.
        timeout: seconds without a mark that are too many.
    """

    def __init__(self, report: Report, timeout: float) -> None:
        self._report, self._timeout, self._folder = report, timeout, report.folder / FOLDER
        self._rank, self._ranks = rank_and_size()
        self._tick = min(10.0, timeout / 10)
        self._ended = threading.Event()
        self._limit = timeout
        self._place, self._stage = Place(0, 0, "it has begun", f"{threading.main_thread().ident:#018x}"), ""

    def stage(self, text: str, *, patience: float = 1.0) -> None:
        """A new part of the work begins, whose places may be `patience` times as far apart as others."""
        self._stage, self._limit = text, self._timeout * patience
        self._place = self._place._replace(stage=self._place.stage + 1, mark=0, doing=text)

    def mark(self, text: str) -> None:
        """A place in it is passed."""
        self._place = self._place._replace(mark=self._place.mark + 1, doing=f"{self._stage}, {text}")

    def __enter__(self) -> Watchdog:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stack = self._stack_of(self._rank).open("wb")
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()
        self._stack.close()
        with suppress(OSError):  # others may still be there
            self._stack_of(self._rank).unlink()
            self._place_of(self._rank).unlink()
            self._folder.rmdir()

    def _watch(self) -> None:
        seen: Place | None = None
        moved = ticked = time.monotonic()
        while not self._ended.wait(self._tick if seen else 0):
            now = time.monotonic()
            if self._place is not seen or now - ticked > self._tick + _SUSPENDED:
                seen, moved = self._place, now
                self._publish(seen)
                faulthandler.dump_traceback_later(self._limit, file=self._stack)
            elif now - moved > self._limit + self._tick:
                self._report.error(self._verdict())
                os._exit(1)  # the main thread hangs: nothing else ends it
            ticked = now

    def _publish(self, place: Place) -> None:
        with suppress(OSError):  # a full disk
            self._place_of(self._rank).write_text(json.dumps(place), encoding="utf-8")

    def _verdict(self) -> SwiftError:
        places = [self._read(rank) for rank in range(self._ranks)]
        least = min(place[:2] for place in places)
        behind = [rank for rank, place in enumerate(places) if place[:2] == least]
        names = "the process" if self._ranks == 1 else f"process {', '.join(map(str, behind))} of {self._ranks}"
        if 1 < len(behind) == self._ranks:
            names = "every process"
        frames = "; ".join(dict.fromkeys(self._frame(rank, places[rank]) for rank in behind))
        return SwiftError(
            f"{names} has not moved for {self._limit:g} s: {places[behind[0]].doing}",
            where=str(self._stack_of(behind[0])),
            hint=f"It is at {frames}. What may take so long needs a longer --parallel.timeout; the run goes on with --resume.",
        )

    def _frame(self, rank: int, place: Place) -> str:
        """Where the main thread of a process is, innermost."""
        with suppress(OSError):
            stacks = self._stack_of(rank).read_text(encoding="utf-8", errors="replace")
            for block in stacks.split("\n\n"):
                found = re.search(r'File "(.*)", line (\d+) in (\S+)', block) if f"Thread {place.thread}" in block else None
                if found:
                    return f"{found[1]}, line {found[2]}, in {found[3]}"
        return "a place that it can't tell: it is stopped or gone"

    def _read(self, rank: int) -> Place:
        with suppress(OSError, ValueError):
            return Place(*json.loads(self._place_of(rank).read_text(encoding="utf-8")))
        return Place(0, 0, "it has not begun", "")

    def _place_of(self, rank: int) -> Path:
        return self._folder / f"rank-{rank}.json"

    def _stack_of(self, rank: int) -> Path:
        return self._folder / f"rank-{rank}.stack.txt"


class WatchedTask:
    """A task whose passes are marked: a process that hangs in one is behind those that wait for its gradients."""

    def __init__(self, task: LossTask, watchdog: Watchdog) -> None:
        self._task, self._watchdog = task, watchdog
        self.options, self.truncation, self.encoder = task.options, task.truncation, task.encoder

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """The task's."""
        self._watchdog.mark("a forward pass")
        output = self._task.forward(model, micro)
        self._watchdog.mark("a backward pass")
        return output

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """The task's."""
        return self._task.loss(output, micro)
