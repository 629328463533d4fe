"""Streaming: rows are tokenised while others are learned, and none is kept, so that a set may be larger than the disk.

The rows come in parts of so many (`data.buffer`); each is tokenised into a temporary store, and mixed within itself. The next part is
made ready while one is learned. Where the rows end they begin again. Which rows a part has depends on nothing but its number, so that a
resumed run reads past those that it has learned and goes on exactly.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from swift_data.reading import SKIPPED_FILE, Skips, raw_rows
from swift_data.unread import Unread

from swift_core.contract.errors import UsageError
from swift_core.system import paths
from swift_train.data import unread_of, write_samples
from swift_train.samples import Samples
from swift_train.store import Store

if TYPE_CHECKING:
    from swift_core.contract.roles import RawRow
    from swift_core.contract.run import DataChoice
    from swift_core.runs.events import Report
    from swift_train.data import Preprocessing

_HEAD = 64


class Stream:
    """The rows of data sets, part by part. Of several sets each gives rows as often as its weight says, at random but always the same."""

    def __init__(self, choices: Sequence[DataChoice], reading: Preprocessing, report: Report, *, seed: int) -> None:
        self._choices, self._reading, self._report, self._seed = choices, reading, report, seed
        self._count, self._read = int(reading.options["buffer"]), 0
        self._told: set[str] = set()

    def digest(self) -> str:
        """One hash over what decides the rows; their content is not known ahead."""
        return paths.digest([[asdict(choice) for choice in self._choices], dict(self._reading.options), self._seed])

    def head(self) -> Samples:
        """The samples of the first rows, by themselves."""
        return self._part(islice(self._rows(), _HEAD), Skips(self._reading.options))

    def parts(self, skip: int = 0) -> Iterator[Samples]:
        """Every part from number `skip` on, without end.

        Raises:
            UsageError: as `swift_train.data.read`.
        """
        rows = islice(self._rows(), skip * self._count, None)
        files = [self._report.folder / SKIPPED_FILE] if self._report.speaks else []
        skips = Skips(self._reading.options, files)
        with ThreadPoolExecutor(1, "stream") as worker:
            following = worker.submit(self._next, rows, skips)
            while True:
                part = following.result()
                following = worker.submit(self._next, rows, skips)
                yield part

    def _next(self, rows: Iterator[RawRow], skips: Skips) -> Samples:
        part = self._part(islice(rows, self._count), skips)
        self._read += self._count
        skips.finish(self._read)
        return part

    def _part(self, rows: Iterator[RawRow], skips: Skips) -> Samples:
        with tempfile.TemporaryDirectory(prefix="swift-stream-") as folder:
            write_samples(Path(folder), rows, self._reading, skips)
            store = Store(Path(folder))
        self._tell(unread_of(store))
        return Samples([store])

    def _tell(self, unread: Unread) -> None:
        """Note the fields that nobody reads, each once; the share is that of the part in which it is first seen."""
        fields, control = (
            {name: count for name, count in all_.items() if name not in self._told} for all_ in (unread.counts, unread.control)
        )
        self._told |= {*fields, *control}
        for text in Unread(fields, unread.rows, control).sentences(", ".join(choice.asked for choice in self._choices)):
            self._report.note(text)

    def _rows(self) -> Iterator[RawRow]:
        """All sets' rows, mixed, without end."""
        weights = np.array([choice.weight for choice in self._choices])
        random = np.random.default_rng(self._seed)
        sources = [self._again(choice) for choice in self._choices]
        while True:
            for number in random.choice(len(sources), 1000, p=weights / weights.sum()):
                yield next(sources[number])

    def _again(self, choice: DataChoice) -> Iterator[RawRow]:
        while True:
            count = 0
            for row in raw_rows(choice, self._reading.options):
                count += 1
                yield row
            if not count:
                raise UsageError(f"{choice.asked} has no rows", where="dataset", hint="Choose another set, subset or split.")
