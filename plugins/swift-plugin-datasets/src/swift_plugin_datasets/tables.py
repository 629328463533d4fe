"""Tables → rows: comma and tab separated text, and parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from swift_core.errors import UsageError
from swift_plugin_datasets.lines import beginning, checked, lines, row_error, short


def comma_rows(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    """Comma separated; the first record names the columns."""
    return _records(file, name, ",")


def tab_rows(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
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
    except csv.Error as error:
        raise row_error(f"not a table: {error}", name, number + 1, "Look for a quotation mark that is not closed.") from None


def _texts(file: io.BufferedReader, name: str) -> Iterator[str]:
    for _, line in lines(file, name, blank=True):
        if isinstance(line, UsageError):  # a record may span lines, so what follows can't be told any more
            raise line
        yield f"{line}\n"


def parquet_rows(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    """Records with their nested values: structs as objects, binary as bytes."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError("parquet files need pyarrow", where=name, hint="pip install 'swift-plugin-datasets[parquet]'") from error
    number = 0
    try:
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=256):
            for data in batch.to_pylist():
                number += 1
                yield number, checked({column: without_absent(value) for column, value in data.items()}, name, number)
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        message = f"not a parquet file, or damaged: {short(str(error))}"
        raise row_error(message, name, number + 1, "Fetch the file again.") from None


def without_absent(value: Any) -> Any:
    """A column's value without the empty fields of its structs.

    Arrow gives all structs of a column the same fields, so an empty one was absent: a message without tool calls, or a tool
    without another tool's parameters. Images ({bytes, path}) are left as they are.
    """
    if isinstance(value, list):
        return [without_absent(item) for item in value]
    if isinstance(value, dict) and set(value) != {"bytes", "path"}:
        return {key: without_absent(item) for key, item in value.items() if item is not None}
    return value
