"""Streaming: tokenise rows during training and keep none, so that a data set may exceed the disk.

Rows are read in buffers of `data.buffer` rows; each is tokenised into a temporary store and shuffled within itself, while the run trains on
the previous one. At the end, the data sets are read again from the start. The rows of a buffer depend only on its number, so a resumed run
skips the buffers that it has trained on and continues exactly.
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

from swift_core.contract import UsageError
from swift_core.system import paths
from swift_train.data import unread_of, write_samples
from swift_train.samples import Samples
from swift_train.store import Store

if TYPE_CHECKING:
    from swift_core.contract import DataChoice, RawRow
    from swift_core.runs import Report
    from swift_train.preprocessing import Preprocessing

_HEAD = 64  # rows


class Stream:
    """Read data sets buffer by buffer. Several data sets are interleaved at random (fixed by `seed`), in proportion to their weights.

    Args:
        choices: the data sets, with their weights.
        preprocessing: encoder and data options; `buffer` is the number of rows per buffer.
        report: receives notes; skipped rows are listed in its folder.
        seed: of the interleaving.
    """

    def __init__(self, choices: Sequence[DataChoice], preprocessing: Preprocessing, report: Report, *, seed: int) -> None:
        self._choices, self._preprocessing, self._report, self._seed = choices, preprocessing, report, seed
        self._count, self._read = int(preprocessing.options["buffer"]), 0
        self._reported: set[str] = set()

    def digest(self) -> str:
        """Return a hash over what determines the rows: data sets, options and seed. Their content is not known in advance."""
        return paths.digest([[asdict(choice) for choice in self._choices], dict(self._preprocessing.options), self._seed])

    def head(self) -> Samples:
        """Return the samples of the first 64 rows."""
        return self._samples(islice(self._rows(), _HEAD), Skips(self._preprocessing.options))

    def buffers(self, skip: int = 0) -> Iterator[Samples]:
        """Yield the buffers from number `skip` on, endlessly.

        Raises:
            UsageError: a data set has no rows, or a row can't be read or encoded (see `swift_train.data.load_samples`).
        """
        rows = islice(self._rows(), skip * self._count, None)
        files = [self._report.folder / SKIPPED_FILE] if self._report.speaks else []
        skips = Skips(self._preprocessing.options, files)
        with ThreadPoolExecutor(1, "stream") as worker:
            following = worker.submit(self._next, rows, skips)
            while True:
                samples = following.result()
                following = worker.submit(self._next, rows, skips)
                yield samples

    def _next(self, rows: Iterator[RawRow], skips: Skips) -> Samples:
        samples = self._samples(islice(rows, self._count), skips)
        self._read += self._count
        skips.finish(self._read)
        return samples

    def _samples(self, rows: Iterator[RawRow], skips: Skips) -> Samples:
        with tempfile.TemporaryDirectory(prefix="swift-stream-") as folder:
            write_samples(Path(folder), rows, self._preprocessing, skips)
            store = Store(Path(folder))
        self._report_unread(unread_of(store))
        return Samples([store])

    def _report_unread(self, unread: Unread) -> None:
        """Report unread fields, each once, with its share of the rows in the buffer in which it first occurs."""
        fields, control = (
            {name: count for name, count in all_.items() if name not in self._reported} for all_ in (unread.counts, unread.control)
        )
        self._reported |= {*fields, *control}
        for text in Unread(fields, unread.rows, control).sentences(", ".join(choice.asked for choice in self._choices)):
            self._report.note(text)

    def _rows(self) -> Iterator[RawRow]:
        """Yield the interleaved rows of all data sets, endlessly."""
        weights = np.array([choice.weight for choice in self._choices])
        random = np.random.default_rng(self._seed)
        sources = [self._repeat(choice) for choice in self._choices]
        while True:
            for number in random.choice(len(sources), 1000, p=weights / weights.sum()):
                yield next(sources[number])

    def _repeat(self, choice: DataChoice) -> Iterator[RawRow]:
        while True:
            count = 0
            for row in raw_rows(choice, self._preprocessing.options):
                count += 1
                yield row
            if not count:
                raise UsageError(
                    f"{choice.asked} has no rows", code="TRAIN-071", where="dataset", hint="Choose another set, subset or split."
                )
