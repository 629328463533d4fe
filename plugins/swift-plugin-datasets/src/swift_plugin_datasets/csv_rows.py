"""Tables as text → rows: comma and tab separated."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from swift_core.contract.errors import UsageError
from swift_plugin_datasets.lines import beginning, checked, lines, row_error, short


def csv_rows(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    """Comma separated; the first record names the columns."""
    return _records(file, name, ",")


def tsv_rows(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    """Tab separated; the first record names the columns."""
    return _records(file, name, "\t")


def _records(file: io.BufferedReader, name: str, separator: str) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(2**31 - 1)  # texts are long
    beginning(file, name)
    records = csv.reader(_texts(file, name), delimiter=separator, strict=True)
    number = 0
    try:
        header = next(records, [])
        repeated = {column for column in header if header.count(column) > 1}
        if repeated:
            raise UsageError(f"the header has '{min(repeated)}' twice", where=name, hint="Give each column a name of its own.")
        for record in records:
            if not record:
                continue
            number += 1
            if len(record) != len(header):
                hint = f"Quote cells that hold '{separator}' or line ends. The header: {short(separator.join(header))}"
                yield number, row_error(f"has {len(record)} cells where the header has {len(header)}", name, number, hint)
            else:
                yield number, checked(dict(zip(header, record, strict=True)), name, number)
        if header and not number:
            hint = "The first line of a table names its columns; the rows follow it."
            raise UsageError(f"one line alone, which names the columns: {short(separator.join(header))}", where=name, hint=hint)
    except csv.Error as error:
        raise row_error(f"not a table: {error}", name, number + 1, "Look for a quotation mark that is not closed.") from None


def _texts(file: io.BufferedReader, name: str) -> Iterator[str]:
    for _, line in lines(file, name, blank=True):
        if isinstance(line, UsageError):  # a record may span lines, so what follows can't be told any more
            raise line
        yield f"{line}\n"
