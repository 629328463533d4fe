"""Bad rows, all of them: counted, and grouped by what is wrong, so that ten thousand rows with one fault are one line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from swift_core.data.reading import Skips
from swift_core.errors import SwiftError
from swift_core.roles import RawRow

_SHOWN = 5
_MOST_GROUPS = 200
_VARYING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\d+")
_INDEX = re.compile(r"\[\d+\]")
_OTHERS = ("other faults", "")


@dataclass(frozen=True, slots=True)
class Place:
    """A bad row: where, and what is wrong with this very one."""

    where: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with some rows. Where their messages differ in names or numbers, `message` has … in their stead."""

    message: str
    path: str  # JSON path in the row, with [*] for each index; '' where it is about the whole row
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
    """Gathers bad rows instead of stopping at one."""

    def __init__(self) -> None:
        super().__init__({"on_error": "skip"})
        self._groups: dict[tuple[str, str], _Group] = {}

    def bad(self, error: SwiftError, row: RawRow) -> None:
        """Count a row that can't be used."""
        self.add(error, f"{row.file}, row {row.number}")

    def add(self, error: SwiftError, place: str) -> None:
        """Count a fault at a place."""
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
        """What is wrong, the most frequent first."""
        groups = sorted(self._groups.values(), key=lambda group: -group.count)
        return tuple(
            Fault(message=group.message, path=group.path, hint=group.error.hint, count=group.count, first=tuple(group.first))
            for group in groups
        )
