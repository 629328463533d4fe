"""Read rows of CSV and TSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from swift_core.contract import UsageError
from swift_plugin_datasets.lines import checked_row, lines, peek_start, row_error, shortened


def csv_rows(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    """Yield (row number, row) of a comma-separated file, whose first record names the columns."""
    return _records(file, name, ",")


def tsv_rows(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    """Yield (row number, row) of a tab-separated file, whose first record names the columns."""
    return _records(file, name, "\t")


def _records(file: io.BufferedReader, name: str, separator: str) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(2**31 - 1)  # texts are long
    peek_start(file, name)
    records = csv.reader(_texts(file, name), delimiter=separator, strict=True)
    number = 0
    try:
        header = next(records, [])
        repeated = {column for column in header if header.count(column) > 1}
        if repeated:
            raise UsageError(f"the header has '{min(repeated)}' twice", code="DATA-119", where=name, hint="Give each column a unique name.")
        for record in records:
            if not record:
                continue
            number += 1
            if len(record) != len(header):
                hint = f"Quote cells that contain '{separator}' or line breaks. The header: {shortened(separator.join(header))}"
                yield number, row_error(f"has {len(record)} cells, but the header has {len(header)}", name, number, hint, code="DATA-120")
            else:
                yield number, checked_row(dict(zip(header, record, strict=True)), name, number)
        if header and not number:
            hint = "The first line of a table names its columns; add the rows below it."
            raise UsageError(f"the table has only a header: {shortened(separator.join(header))}", code="DATA-121", where=name, hint=hint)
    except csv.Error as error:
        raise row_error(f"invalid table: {error}", name, number + 1, "Look for an unclosed quotation mark.", code="DATA-122") from None


def _texts(file: io.BufferedReader, name: str) -> Iterator[str]:
    for _, line in lines(file, name, blank=True):
        if isinstance(line, UsageError):  # a record may span lines, so where the next one starts is unknown
            raise line
        yield f"{line}\n"
