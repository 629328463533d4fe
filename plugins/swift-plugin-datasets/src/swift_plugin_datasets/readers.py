"""Files → rows, by suffix and as a stream, so that a file may be larger than memory.

Rows are numbered as the file's reader would count them: lines of line formats, records of tables, places in an array, from 1.
"""

from __future__ import annotations

import io
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_core.contract.errors import UsageError, suggestion
from swift_core.contract.roles import RawRow
from swift_plugin_datasets.arrow_rows import arrow_rows, parquet_rows
from swift_plugin_datasets.compression import SUFFIXES, open_file
from swift_plugin_datasets.csv_rows import csv_rows, tsv_rows
from swift_plugin_datasets.json_rows import json_rows
from swift_plugin_datasets.lines import beginning, checked, lines, raw_row, row_error

# (file, its name) → each row's number and data; a row that can't be read is given as its UsageError
Reader = Callable[[io.BufferedReader, str], Iterator[tuple[int, Any]]]


def text_rows(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    """A document a line; blank lines only separate."""
    beginning(file, name)
    for number, line in lines(file, name):
        yield number, line if isinstance(line, UsageError) else checked({"text": line}, name, number)


READERS: Mapping[str, Reader] = {
    ".json": json_rows,
    ".jsonl": json_rows,
    ".ndjson": json_rows,
    ".csv": csv_rows,
    ".tsv": tsv_rows,
    ".txt": text_rows,
    ".parquet": parquet_rows,
    ".arrow": arrow_rows,
}
_BY_CONTENT: Mapping[bytes, Reader] = {b"PAR1": parquet_rows, b"ARROW1": arrow_rows}  # whatever the file is called


def format_of(path: Path) -> str:
    """The suffix of a file's format, without that of a compression; it may be empty."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def read(path: Path, name: str = "") -> Iterator[RawRow]:
    """The rows of a file, which messages call `name` (its path if empty). One that can't be read has a `fault`.

    Raises:
        UsageError: of an unknown format, empty, or damaged from some row on; says file and row.
    """
    name = name or str(path)
    suffix = format_of(path)
    if suffix not in READERS:
        hint = suggestion(suffix, READERS) or f"Known: {', '.join(READERS)}, each also with {', '.join(SUFFIXES)}."
        raise UsageError(f"the format '{suffix or path.name}' is unknown", where=name, hint=hint)
    count = 0
    try:
        with open_file(path) as file:
            start = file.peek(8)
            reader = next((reader for magic, reader in _BY_CONTENT.items() if start.startswith(magic)), READERS[suffix])
            for number, data in reader(file, name):
                count += 1
                yield raw_row(data, name, number, path.parent)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno:
            raise UsageError(f"can't be read: {error.strerror}", where=name, hint="Check the file and its permissions.") from error
        raise row_error(f"damaged: {error}", name, count + 1, "Fetch or compress the file again.") from error
    if not count:
        raise UsageError("an empty file: it has no rows", where=name, hint="Is it the right file, and was it written to the end?")
