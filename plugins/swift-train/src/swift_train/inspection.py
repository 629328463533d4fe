"""Rows as training would see them, for `swift data`: the same encoder, truncation and checks, without a run.

The model's shapes and its tokenizer are loaded, its weights are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from swift_data.inspector import Measured, Piece, Rendered
from swift_data.reading import Skips
from swift_data.unread import Unread

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.roles import RawRow
from swift_train.build import load_base
from swift_train.data import encode_rows, samples_of_row, take_unread, truncate
from swift_train.job import preprocessing_of
from swift_train.tokenise import Encoded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swift_core.contract.run import Run

_FIRST, _EVERY = 16, 1000  # rows whose mask is worked out a second way


class Inspector:
    """Built as `TaskSpec.inspector`; raises as a run does where its model or options are wrong."""

    def __init__(self, run: Run) -> None:
        self._reading = preprocessing_of(run, run.part("task").build(), load_base(run, "meta"))
        self.max_length, self.truncation = self._reading.max_length, self._reading.truncation

    def measure(self, rows: Iterable[RawRow], skips: Skips) -> Iterator[tuple[RawRow, Measured]]:
        """Each row in tokens."""
        for number, (raw, sequences) in enumerate(self._encoded(rows, skips)):
            lengths = tuple(len(encoded.ids) for encoded in sequences)
            learned, fault = 0, None
            try:
                learned = sum(int(np.count_nonzero(_weights(sample))) for sample in samples_of_row(sequences, self._reading))
                if number < _FIRST or number % _EVERY == 0:
                    self._reading.encoder.check(raw, sequences)
            except SwiftError as error:
                fault = error
            yield raw, Measured(lengths, learned, fault)

    def unread(self) -> Unread:
        """The fields that are lost of rows measured since it was last asked."""
        return take_unread(self._reading.encoder)

    def render(self, raw: RawRow) -> Sequence[Rendered]:
        """The row's sequences, piece by piece."""
        strict = Skips({})
        ((_, sequences),) = self._encoded([raw], strict)
        try:
            samples_of_row(sequences, self._reading)
        except UsageError as error:
            strict.bad(error, raw)
        self._reading.encoder.check(raw, sequences)
        return [
            Rendered(tuple(self._pieces(sample)), len(encoded.ids))
            for encoded in sequences
            for sample in truncate(encoded, self.truncation, self.max_length)
        ]

    def _encoded(self, rows: Iterable[RawRow], skips: Skips) -> Iterator[tuple[RawRow, list[Encoded]]]:
        longest = self.max_length if self.truncation == "error" else None
        return encode_rows(rows, self._reading.encoder, skips, longest)

    def _pieces(self, sample: Encoded) -> Iterator[Piece]:
        tokenizer = self._reading.encoder.tokeniser.tokenizer
        tokens = zip(sample.ids.tolist(), _weights(sample).tolist(), strict=True)
        for weight, group in groupby(tokens, key=lambda token: token[1]):
            ids = tuple(identity for identity, _ in group)
            yield Piece(str(tokenizer.decode(list(ids))), weight, ids, tuple(str(tokenizer.decode([identity])) for identity in ids))


def _weights(sample: Encoded) -> NDArray[np.float64]:
    """What each token weighs in the loss. The first has none before it, so it is never learned."""
    weights = np.zeros(len(sample.ids))
    for start, stop, weight in sample.spans:
        weights[max(start, 1) : stop] = weight
    return weights
