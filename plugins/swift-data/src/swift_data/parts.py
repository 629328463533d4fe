"""Parts of a data set that can be read on their own, so that several processes read it at once.

A part is a range of the rows, in their order; all parts one after the other are the data set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from swift_core.contract import DataChoice, RawRow
from swift_data.reading import as_read, raw_rows

Place = Mapping[str, Any]  # where a part is, as JSON; empty: it is all of the data set


@runtime_checkable
class PartedDataset(Protocol):
    """A data set (`swift_core.contract.Dataset`) that can be read in parts."""

    def parts(self, rows: int) -> Iterator[Place]:
        """Yield the place of each part, of about `rows` rows where its file can be divided.

        Raises:
            UsageError: the source can't be read.
        """
        ...

    def part_rows(self, place: Place) -> Iterator[RawRow]:
        """Yield the rows of a part, as `rows` does."""
        ...


def parts_of(choice: DataChoice, rows: int) -> Sequence[Place]:
    """Return the places of a data set's parts; one with a limit, or that can't be read in parts, is one part."""
    source = choice.build()
    return list(source.parts(rows)) if isinstance(source, PartedDataset) and not choice.limit else [{}]


def rows_of_part(choice: DataChoice, place: Place, how: Mapping[str, Any]) -> Iterator[RawRow]:
    """Yield the rows of a part, as `swift_data.reading.raw_rows` does those of the data set."""
    return as_read(choice.build().part_rows(place), choice, how) if place else raw_rows(choice, how)
