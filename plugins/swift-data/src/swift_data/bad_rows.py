"""Errors in rows, counted and grouped by their message, so that ten thousand rows with the same error take one line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from swift_core.contract import RawRow, SwiftError
from swift_data.reading import Skips

_SHOWN = 5
_MOST_GROUPS = 200
_VARYING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\d+")
_INDEX = re.compile(r"\[\d+\]")
_OTHERS = ("other errors", "")


@dataclass(frozen=True, slots=True)
class Place:
    """An invalid row: its place, and its error message."""

    where: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An error of one or more rows; names and numbers in which their messages differ are replaced by … in `message`."""

    message: str
    path: str  # JSON path in the row, with [*] for each index; '' for the whole row
    hint: str
    count: int
    first: tuple[Place, ...]


@dataclass(slots=True)
class _Group:
    error: SwiftError
    path: str
    message: str
    count: int = 0
    first: list[Place] = field(default_factory=list)


class Faults(Skips):
    """Collect the errors of invalid rows instead of stopping at the first."""

    def __init__(self) -> None:
        super().__init__({"on_error": "skip"})
        self._groups: dict[tuple[str, str], _Group] = {}

    def bad(self, error: SwiftError, row: RawRow) -> None:
        """Record an invalid row."""
        self.add(error, f"{row.file}, row {row.number}")

    def add(self, error: SwiftError, place: str) -> None:
        """Record an error at a place."""
        self.count += 1
        where = error.where if error.where.startswith(place) else place
        path = _INDEX.sub("[*]", where.removeprefix(place).removeprefix(", "))
        pattern = _VARYING.sub("…", error.message)
        key = (pattern, path)
        if key not in self._groups and len(self._groups) >= _MOST_GROUPS:
            key = pattern, path = _OTHERS
        group = self._groups.setdefault(key, _Group(error, path, error.message))
        if group.message != error.message:
            group.message = pattern
        group.count += 1
        if len(group.first) < _SHOWN:
            group.first.append(Place(where, error.message))

    def faults(self) -> tuple[Fault, ...]:
        """Return the errors, the most frequent first."""
        groups = sorted(self._groups.values(), key=lambda group: -group.count)
        return tuple(
            Fault(message=group.message, path=group.path, hint=group.error.hint, count=group.count, first=tuple(group.first))
            for group in groups
        )
