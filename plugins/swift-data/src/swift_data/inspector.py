"""The Protocol by which `swift data` gets a task's tokenisation, truncation and loss mask; the core itself has no tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from swift_core.contract import RawRow, SwiftError
    from swift_data.reading import Skips
    from swift_data.unread import Unread


@dataclass(frozen=True, slots=True)
class Measured:
    """Token counts of a row: the `lengths` of its sequences before truncation, the supervised (`learned`) tokens, why training refuses the
    row, and the number of its media files."""

    lengths: tuple[int, ...]
    learned: int
    fault: SwiftError | None = None  # why training refuses the row; None: it does not
    files: int = 0  # media files


@dataclass(frozen=True, slots=True)
class Piece:
    """Adjacent tokens with the same loss weight (0: not supervised): their joined text, and the id and text of each."""

    text: str  # the joined text
    weight: float  # loss weight
    ids: tuple[int, ...]  # token ids
    texts: tuple[str, ...]  # the text of each token


@dataclass(frozen=True, slots=True)
class Rendered:
    """A sequence as the model is trained on it; `whole` is its number of tokens before it was truncated or split."""

    pieces: tuple[Piece, ...]  # the sequence, in order
    whole: int


class RowInspector(Protocol):
    """Tokenise, truncate and mask rows with the code that trains on them. Built as `TaskSpec.inspector(run)`.

    `max_length` is the maximum number of tokens per sequence, `truncation` the treatment of longer ones (`error`: training stops).
    """

    max_length: int
    truncation: str

    def measure(self, rows: Iterable[RawRow], skips: Skips) -> Iterator[tuple[RawRow, Measured]]:
        """Yield each row with its token counts, in order; rows that can't be tokenised go to `skips.bad`."""
        ...

    def unread(self) -> Unread:
        """Return the fields that neither a reader nor the chat template reads, of the rows measured since the last call."""
        ...

    def render(self, raw: RawRow) -> Sequence[Rendered]:
        """Return a row's sequences; none if it is too long and dropped.

        Raises:
            SwiftError: training would refuse the row.
        """
        ...
