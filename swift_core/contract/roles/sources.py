"""Roles of the sources of checkpoints and rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from swift_core.contract.errors import SwiftError
    from swift_core.contract.reference import Reference
    from swift_core.contract.roles.common import Progress, Select


class Hub(Protocol):
    """A hub: resolves a reference to a folder that is verified, pinned to a revision, and cached."""

    def fetch(self, reference: Reference, *, select: Select, progress: Progress | None = None) -> Path:
        """Download the files of a reference that `select` chooses and return their folder, the same one each time.

        `select` gets the names of all files and decides by the formats of the installed plugins; a local folder may be returned as it is.

        Raises:
            UsageError: no such reference, or no access to it.
            SwiftError: the network failed; what was received is kept, and the next call resumes from there.
        """
        ...

    def push(self, folder: Path, reference: Reference, *, message: str, private: bool) -> str:
        """Upload all files of a folder as one commit, creating the repository if needed, and return the address of the result.

        Raises:
            UsageError: no token, no write access, or `private` and the repository exists and is public.
            SwiftError: the network failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as its source has it, with its origin: `file` as shown to users, `number` counted from 1.

    `folder` is where the row's relative media paths begin (None: it has no such place). `fault` says why the row could not be read,
    where the rows after it still can; whoever makes sense of rows raises it (`swift_data.rows.normalise` does).
    """

    data: Any  # the row as parsed, usually a mapping
    file: str
    number: int
    folder: Path | None = None
    fault: SwiftError | None = None


class Dataset(Protocol):
    """A data set: rows in the order of their source. Built as `factory(options)`; `fetch` downloads what it needs."""

    def fetch(self, progress: Progress | None = None) -> Sequence[Path]:
        """Make the source local, and return its files in the order of their rows; instant the second time."""
        ...

    def rows(self) -> Iterator[RawRow]:
        """Each row; one that can't be read has a `fault`.

        Raises:
            UsageError: the source is missing, empty or unreadable from some row on, with file and row number.
        """
        ...
