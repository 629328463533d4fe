"""Where checkpoints and rows come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from swift_core.contract.errors import SwiftError
    from swift_core.contract.reference import Reference
    from swift_core.contract.roles.common import Progress


class Hub(Protocol):
    """Turns a reference into a folder, once: verified, pinned and cached."""

    def fetch(self, reference: Reference, *, only: Sequence[str] = (), code: bool = False, progress: Progress | None = None) -> Path:
        """Download what `only` (glob patterns; empty: a model's files) names and return the folder.

        `code` brings the repository's own Python files too: the user has named this very revision as trusted.

        Raises:
            UsageError: no such reference, or it can't be trusted.
            SwiftError: the network failed; what was read is kept, and the next call goes on from there.
        """
        ...

    def push(self, folder: Path, reference: Reference, *, message: str, private: bool = True) -> str:
        """Upload a checkpoint folder and return where it is now."""
        ...


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as its source has it, and where that was: `file` for people, `number` counted from 1.

    `folder` is where the row's relative media paths begin (None: it has no such place). `fault` says why the row could not be read,
    where the rows after it still can; whoever makes sense of rows raises it (`swift_data.rows.normalise` does).
    """

    data: Any  # the row as parsed, usually a mapping
    file: str
    number: int
    folder: Path | None = None
    fault: SwiftError | None = None


class Dataset(Protocol):
    """Rows in the order of their source. Built as `factory(options)`; `fetch` brings what it needs onto this machine."""

    def fetch(self, progress: Progress | None = None) -> Sequence[Path]:
        """Make the source local, and return its files in the order of their rows; instant the second time."""
        ...

    def rows(self) -> Iterator[RawRow]:
        """Each row; one that can't be read has a `fault`.

        Raises:
            UsageError: the source is missing, empty or unreadable from some row on, with file and row number.
        """
        ...
