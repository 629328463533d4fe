"""How a task's rows are tokenised, cut and graded, as a Protocol that `swift data` asks: the core itself knows no tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from swift_core.data.reading import Skips
    from swift_core.data.unread import Unread
    from swift_core.errors import SwiftError
    from swift_core.roles import RawRow


@dataclass(frozen=True, slots=True)
class Measured:
    """A row in tokens: the `lengths` of its sequences before any cut, how many tokens are `learned`, why training refuses it."""

    lengths: tuple[int, ...]
    learned: int
    fault: SwiftError | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Neighbouring tokens that weigh the same in the loss (0: not learned): their text together, and each one's id and text."""

    text: str
    weight: float
    ids: tuple[int, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A sequence as the model is trained on it. `whole` is how many tokens it had before it was cut or split to the length."""

    pieces: tuple[Piece, ...]
    whole: int


class RowInspector(Protocol):
    """How a task's rows are tokenised, cut and graded: by the very code that trains. Built as `TaskSpec.inspector(run)`.

    `max_length` is the most tokens of a sequence, `truncation` what happens to longer ones (`error`: training stops).
    """

    max_length: int
    truncation: str

    def measure(self, rows: Iterable[RawRow], skips: Skips) -> Iterator[tuple[RawRow, Measured]]:
        """Each row in tokens, in order, as a stream; rows that can't be tokenised go to `skips.bad`."""
        ...

    def unread(self) -> Unread:
        """The fields of the rows measured since it was last asked that neither a reader nor the chat template reads."""
        ...

    def render(self, raw: RawRow) -> Sequence[Rendered]:
        """A row's sequences; none where it is too long and left out.

        Raises:
            SwiftError: training would refuse the row.
        """
        ...
