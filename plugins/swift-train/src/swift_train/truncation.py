"""Truncate token sequences to the maximum length, and select the supervised samples of a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_train.data import Preprocessing
    from swift_train.tokenise import Encoded


def samples_of_row(sequences: Iterable[Encoded], preprocessing: Preprocessing) -> list[Encoded]:
    """Return the sequences of a row to train on; none if the row is dropped. The sequences of a grouped row are kept or dropped together.

    Raises:
        UsageError: the row is too long, or has no supervised token.
    """
    cut = [list(truncate(encoded, preprocessing.truncation, preprocessing.max_length)) for encoded in sequences]
    pieces = [piece for part in cut for piece in part]
    if preprocessing.grouped and not all(cut):
        pieces = []
    if not all(map(_is_supervised, pieces)) or (not pieces and preprocessing.truncation != "drop"):
        raise UsageError(
            "no token of this row is supervised", code="TRAIN-078", hint="Check that it has an answer, within max_length tokens."
        )
    return pieces


def truncate(encoded: Encoded, truncation: str, max_length: int) -> Iterator[Encoded]:
    """Yield a sequence in pieces of at most `max_length` tokens; none if it is dropped.

    Raises:
        UsageError: the sequence is too long, and `truncation` is "error".
    """
    count = len(encoded.ids)
    if count <= max_length:
        yield encoded
    elif truncation == "left":
        yield encoded.cut(count - max_length, count)
    elif truncation == "right":
        yield encoded.cut(0, max_length)
    elif truncation == "split":
        for start in range(0, count - 1, max_length - 1):  # pieces overlap by a token: every token but the first is supervised once
            piece = encoded.cut(start, min(start + max_length, count))
            if _is_supervised(piece):
                yield piece
    elif truncation == "error":
        raise too_long(str(count), max_length)


def too_long(count: str, max_length: int) -> UsageError:
    """Return the error for a sequence of `count` tokens, which exceeds the maximum length."""
    return UsageError(
        f"{count} tokens, but max_length is {max_length}",
        code="TRAIN-079",
        hint="Set a larger --max-length, or choose what to do with such rows: --truncation right (or left) truncates them, split cuts "
        "them into pieces, drop removes them.",
    )


def _is_supervised(encoded: Encoded) -> bool:
    return any(span.stop > max(span.start, 1) for span in encoded.spans)
