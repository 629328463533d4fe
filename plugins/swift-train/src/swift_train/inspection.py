"""Encode rows exactly as training would, for `swift data`: the same encoder, truncation and checks, without a run.

The tokenizer and the model's configuration are loaded, its weights are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from swift_data.inspector import Measured, Piece, Rendered
from swift_data.reading import Skips
from swift_data.unread import Unread

from swift_core.contract import RawRow, SwiftError, UsageError
from swift_train.build import load_base
from swift_train.data import encode_rows, take_unread
from swift_train.job import preprocessing_of
from swift_train.tokenise import Encoded
from swift_train.truncation import samples_of_row, truncate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swift_core.contract import Run

_FIRST, _EVERY = 16, 1000  # the mask check covers the first rows, then every n-th


class Inspector:
    """The implementation of `TaskSpec.inspector` for training tasks; raises the errors that a run with its model and options would."""

    def __init__(self, run: Run) -> None:
        self._preprocessing = preprocessing_of(run, run.part("task").build(), load_base(run, "meta"))
        self.max_length, self.truncation = self._preprocessing.max_length, self._preprocessing.truncation

    def measure(self, rows: Iterable[RawRow], skips: Skips) -> Iterator[tuple[RawRow, Measured]]:
        """Yield each valid row with its sequence lengths, its supervised tokens, and the error that training would raise for it."""
        for number, (raw, sequences) in enumerate(self._encoded(rows, skips)):
            lengths = tuple(len(encoded.ids) for encoded in sequences)
            supervised, error = 0, None
            try:
                supervised = sum(int(np.count_nonzero(self._weights(sample))) for sample in samples_of_row(sequences, self._preprocessing))
                if number < _FIRST or number % _EVERY == 0:
                    self._preprocessing.encoder.check(raw, sequences)
            except SwiftError as raised:
                error = raised
            yield raw, Measured(lengths, supervised, error, max((len(encoded.media) for encoded in sequences), default=0))

    def sequence(self, raw: RawRow) -> Encoded:
        """Return the first token sequence of a valid row, whole."""
        ((_, sequences),) = self._encoded([raw], Skips({}))
        return sequences[0]

    def unread(self) -> Unread:
        """Return the unread fields of the rows measured since the last call."""
        return take_unread(self._preprocessing.encoder)

    def render(self, raw: RawRow) -> Sequence[Rendered]:
        """Return the row's sequences as pieces of text with their weights in the loss."""
        strict = Skips({})
        ((_, sequences),) = self._encoded([raw], strict)
        try:
            samples_of_row(sequences, self._preprocessing)
        except UsageError as error:
            strict.bad(error, raw)
        self._preprocessing.encoder.check(raw, sequences)
        return [
            Rendered(tuple(self._pieces(sample)), len(encoded.ids))
            for encoded in sequences
            for sample in truncate(encoded, self.truncation, self.max_length)
        ]

    def _encoded(self, rows: Iterable[RawRow], skips: Skips) -> Iterator[tuple[RawRow, list[Encoded]]]:
        max_tokens = self.max_length if self.truncation == "error" else None
        return encode_rows(rows, self._preprocessing.encoder, skips, max_tokens)

    def _pieces(self, sample: Encoded) -> Iterator[Piece]:
        tokenizer = self._preprocessing.encoder.tokeniser.tokenizer
        tokens = zip(sample.ids.tolist(), self._weights(sample).tolist(), strict=True)
        for weight, group in groupby(tokens, key=lambda token: token[1]):
            ids = tuple(token for token, _ in group)
            yield Piece(str(tokenizer.decode(list(ids))), weight, ids, tuple(str(tokenizer.decode([token])) for token in ids))

    def _weights(self, sample: Encoded) -> NDArray[np.float64]:
        """Return the weight of each token in the loss. If the task predicts tokens, the first one is not predicted."""
        weights = sample.weights
        weights[: int(self._preprocessing.next_token)] = 0
        return weights
