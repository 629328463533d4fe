"""Data sets → tokenised samples, kept as a few flat arrays: four bytes a token and one for its mask."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from swift_core.errors import SwiftError, UsageError
from swift_train.masks import Encoded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swift_core.reporting import Report
    from swift_core.roles import RawRow
    from swift_core.run import DataChoice

Encoder = Callable[["RawRow"], Sequence[Encoded]]


class Sample(NamedTuple):
    """Token ids (tokens,) int32, whether each is supervised (tokens,) bool, and the row it came from, for people."""

    ids: NDArray[np.int32]
    supervised: NDArray[np.bool_]
    origin: str


class Samples:
    """Tokenised samples by index. Filled with `add`; a sample's first token is never supervised, since nothing comes before it."""

    def __init__(self) -> None:
        self._ids, self._supervised = array("i"), bytearray()
        self._ends, self._rows, self._file_of = array("q", [0]), array("q"), array("i")
        self._files: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        part = slice(self._ends[index], self._ends[index + 1])
        ids = np.frombuffer(self._ids, np.int32)[part] if part.stop > part.start else np.zeros(0, np.int32)
        return Sample(ids, np.frombuffer(self._supervised, np.bool_)[part], self.origin(index))

    def add(self, encoded: Encoded, file: str, row: int) -> None:
        """Append a sample that came from a row of a file."""
        self._ids.extend(encoded.ids)
        self._supervised += bytes((0, *encoded.supervised[1:]))
        self._ends.append(len(self._ids))
        self._rows.append(row)
        self._file_of.append(self._files.setdefault(file, len(self._files)))

    def origin(self, index: int) -> str:
        """The sample's file and row, for people."""
        return f"{list(self._files)[self._file_of[index]]}, row {self._rows[index]}"

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sample."""
        ends = np.frombuffer(self._ends, np.int64)
        return ends[1:] - ends[:-1]

    @property
    def supervised(self) -> NDArray[np.int64]:
        """Learned tokens of each sample."""
        sums = (
            np.concatenate(([0], np.cumsum(np.frombuffer(self._supervised, np.uint8), dtype=np.int64)))
            if self._supervised
            else np.zeros(1, np.int64)
        )
        return np.diff(sums[np.frombuffer(self._ends, np.int64)])

    def digest(self) -> str:
        """One hash over all tokens, masks and borders."""
        return hashlib.sha256(b"".join((self._ids.tobytes(), bytes(self._supervised), self._ends.tobytes()))).hexdigest()

    def part(self, ratio: float, seed: int) -> tuple[Samples, Samples]:
        """Split by rows, at random but always the same: (the rest, about `ratio` of the rows and at least one)."""
        rows = sorted(set(zip(self._file_of, self._rows, strict=True)))
        if len(rows) < 2:
            raise UsageError(
                "one row can't be split into a part to learn and one to hold out", where="validation_ratio", hint="Give more rows, or 0."
            )
        count = min(max(1, round(len(rows) * ratio)), len(rows) - 1)
        held = {rows[index] for index in np.random.default_rng(seed).permutation(len(rows))[:count]}
        parts = Samples(), Samples()
        for index in range(len(self)):
            file, row = self._file_of[index], self._rows[index]
            sample = self[index]
            parts[(file, row) in held].add(Encoded(sample.ids.tolist(), sample.supervised.tolist()), list(self._files)[file], row)
        return parts


def read(
    choices: Iterable[DataChoice], encode: Encoder, truncation: str, max_length: int, report: Report, *, what: str = "tokenise"
) -> Samples:
    """Read, check and tokenise data sets; the first bad row ends it.

    Args:
        choices: the data sets, one after the other.
        encode: a row → its sequences.
        truncation: what happens to a sequence longer than `max_length` tokens (see the options).

    Raises:
        UsageError: a row is not what the task takes, too long, or has nothing to learn; with file and row.
    """
    samples = Samples()
    dropped = 0
    for raw in _rows(choices):
        try:
            for encoded in encode(raw):
                for piece in _fit(encoded, truncation, max_length):
                    if not any(piece.supervised[1:]):
                        raise UsageError("nothing in this row is supervised", hint="Has it an answer, and is it within max_length?")
                    samples.add(piece, raw.file, raw.number)
        except _Dropped:
            dropped += 1
        except SwiftError as error:
            raise type(error)(error.message, hint=error.hint, where=error.where or f"{raw.file}, row {raw.number}") from error
        if len(samples) % 500 == 0:
            report.progress(what, len(samples), None, unit="rows")
    if dropped:
        report.note(f"{dropped} rows longer than {max_length} tokens were left out (truncation: drop).")
    if not len(samples):
        raise UsageError("no rows to learn from", where="dataset", hint="Is the data set empty, or is every row longer than max_length?")
    report.progress(what, len(samples), len(samples), unit="rows")
    return samples


class _Dropped(Exception):
    """A row is left out."""


def _rows(choices: Iterable[DataChoice]) -> Iterator[RawRow]:
    for choice in choices:
        yield from islice(choice.build().rows(), choice.limit)


def _fit(encoded: Encoded, truncation: str, most: int) -> Iterator[Encoded]:
    ids, supervised = encoded
    if len(ids) <= most:
        yield encoded
    elif truncation == "left":
        yield Encoded(ids[-most:], supervised[-most:])
    elif truncation == "right":
        yield Encoded(ids[:most], supervised[:most])
    elif truncation == "split":
        for start in range(0, len(ids) - 1, most - 1):  # pieces share a token, so that every token but the first is supervised once
            yield Encoded(ids[start : start + most], supervised[start : start + most])
    elif truncation == "drop":
        raise _Dropped
    else:
        raise UsageError(
            f"{len(ids)} tokens, but max_length is {most}",
            hint="Give a larger --max-length, or say what to do: --truncation right (or left) cuts such rows, drop leaves them out.",
        )
