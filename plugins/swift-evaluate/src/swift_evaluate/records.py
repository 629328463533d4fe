"""`items.jsonl` in the run folder: every answered question, written at once, so that an interrupted run can be resumed."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from swift_core.contract import SwiftError
from swift_core.runs import Report
from swift_evaluate.roles import Item

FILE = "items.jsonl"
Key = tuple[str, str, int]  # task, id, sample

_SYNC = 1.0  # seconds between two flushes to disk
_SPEAK = 60.0  # seconds between two notes on the progress
_SHOW = 0.2  # seconds between two events of the progress, each of which up to three processes handle


def key(item: Item) -> Key:
    """Return what identifies an item within a run."""
    return item.task, item.id, item.sample


def read_items(folder: Path) -> list[Item]:
    """Return the items of a run folder in the order in which they were recorded; an incomplete last line is left out."""
    path = folder / FILE
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    return [Item(**json.loads(line)) for line in lines]


class Journal:
    """Appends items to `items.jsonl` and reports the progress.

    Args:
        report: the channel of the job.
        earlier: the items of the interrupted run that is resumed; failed ones are left out, so that they are asked again.
        folder: the run folder of the evaluation, if it is not that of the report.
    """

    def __init__(self, report: Report, earlier: Iterable[Item] = (), *, folder: Path | None = None) -> None:
        self.recorded: Mapping[Key, Item] = {key(item): item for item in earlier if item.status != "failed"}
        self._report = report
        self._known = dict(self.recorded)
        self._expected = self._new = 0
        self._lock = threading.Lock()
        self._begin = self._synced = self._spoken = time.monotonic()
        self._shown = 0.0
        self._file = ((folder or report.folder) / FILE).open("wb", buffering=0)
        self._file.write(b"".join(map(_line, self.recorded.values())))

    @property
    def items(self) -> list[Item]:
        """All items, the earlier ones first."""
        return list(self._known.values())

    def expect(self, count: int) -> None:
        """Announce that `count` more items will be recorded."""
        with self._lock:
            self._expected += count
        self._progress()

    def record(self, item: Item) -> None:
        """Append an item. One that the interrupted run had is not written again.

        Raises:
            SwiftError: another item of this run has the same task, id and sample.
        """
        with self._lock:
            if key(item) in self.recorded:
                return
            if key(item) in self._known:
                name = f"'{item.id}'" + (f" (sample {item.sample})" if item.sample else "")
                hint = "Ids must be unique within a task: check the data for duplicates."
                raise SwiftError(f"the item {name} of the task '{item.task}' is recorded twice", code="EVAL-008", where=FILE, hint=hint)
            self._known[key(item)] = item
            self._new += 1
            self._file.write(_line(item))
            if time.monotonic() - self._synced > _SYNC:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        self._progress()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
        self._progress(last=True)

    def _progress(self, *, last: bool = False) -> None:
        with self._lock:
            new, total, now = self._new, self._expected or None, time.monotonic()
            speak = bool(total and new) and now - self._spoken > _SPEAK
            show = last or not new or now - self._shown > _SHOW
            if speak:
                self._spoken = now
            if show:
                self._shown = now
        if show:
            self._report.progress("eval", new, total, unit="items")
        if speak and total:
            left = (now - self._begin) / new * max(total - new, 0)
            self._report.note(f"{new} of {total} items, about {_duration(left)} left")


def _line(item: Item) -> bytes:
    return (json.dumps(asdict(item), ensure_ascii=False) + "\n").encode("utf-8", errors="backslashreplace")


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
