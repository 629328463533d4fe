"""Truncate token sequences to the maximum length, and select the supervised samples of a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_train.preprocessing import Preprocessing
    from swift_train.tokenise import Encoded


def samples_of_row(sequences: Iterable[Encoded], preprocessing: Preprocessing) -> list[Encoded]:
    """Return the sequences of a row to train on; none if the row is dropped. The sequences of a grouped row are kept or dropped together.

    An image is never cut off: a row that would lose one, or a part of one, is dropped.

    Raises:
        UsageError: the row is too long, or has no supervised token.
    """
    first = int(preprocessing.next_token)
    cut = [(encoded, list(truncate(encoded, preprocessing.truncation, preprocessing.max_length))) for encoded in sequences]
    pieces = [piece for _, part in cut for piece in part]
    if any(encoded.media and not part for encoded, part in cut):
        return []
    if preprocessing.grouped and not all(part for _, part in cut):
        pieces = []
    if not all(_is_supervised(piece, first) for piece in pieces) or (not pieces and preprocessing.truncation != "drop"):
        raise UsageError(
            "no token of this row is supervised", code="TRAIN-078", hint="Check that it has an answer, within max_length tokens."
        )
    return pieces


def truncate(encoded: Encoded, truncation: str, max_length: int) -> Iterator[Encoded]:
    """Yield a sequence in pieces of at most `max_length` tokens; none if it is dropped, as it is if a piece would lack a media file.

    Raises:
        UsageError: the sequence is too long, and `truncation` is "error".
    """
    count = len(encoded.ids)
    if count <= max_length:
        yield encoded
    elif truncation == "error":
        raise too_long(str(count), max_length)
    else:
        pieces = list(_pieces(encoded, truncation, max_length))
        if all(len(piece.media) == len(encoded.media) for piece in pieces):
            yield from pieces


def _pieces(encoded: Encoded, truncation: str, max_length: int) -> Iterator[Encoded]:
    count = len(encoded.ids)
    if truncation == "left":
        yield encoded.cut(count - max_length, count)
    elif truncation == "right":
        piece = encoded.cut(0, max_length)
        last = [span._replace(start=max_length - 1, stop=max_length) for span in encoded.spans if span.stop == span.start + 1]
        yield (
            piece if piece.spans or len(encoded.spans) > 1 else piece._replace(spans=tuple(last))
        )  # a sequence is scored at its last token
    elif truncation == "split":
        for start in range(0, count - 1, max_length - 1):  # pieces overlap by a token: every token but the first is supervised once
            piece = encoded.cut(start, min(start + max_length, count))
            if _is_supervised(piece):
                yield piece


def too_long(count: str, max_length: int) -> UsageError:
    """Return the error for a sequence of `count` tokens, which exceeds the maximum length."""
    return UsageError(
        f"{count} tokens, but max_length is {max_length}",
        code="TRAIN-079",
        hint="Set a larger --max-length, or choose what to do with such rows: --truncation right (or left) truncates them, split cuts "
        "them into pieces, drop removes them.",
    )


def _is_supervised(encoded: Encoded, first: int = 1) -> bool:
    """Return whether a token from index `first` on is supervised."""
    return any(span.stop > max(span.start, first) for span in encoded.spans)
