"""Choose the reader of a file by its suffix and stream its rows, so that a file may be larger than memory.

Rows are numbered from 1 as a reader of the file would count them: by line, by record of a table, or by position in an array.
"""

from __future__ import annotations

import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_core.contract import RawRow, UsageError, suggestion
from swift_plugin_datasets.arrow_rows import arrow_rows, parquet_rows
from swift_plugin_datasets.compression import SUFFIXES, open_file
from swift_plugin_datasets.csv_rows import csv_rows, tsv_rows
from swift_plugin_datasets.json_rows import json_rows
from swift_plugin_datasets.lines import checked_row, lines, peek_start, raw_row, row_error

# (file, name for messages) → (row number, data) of each row; data is a UsageError if the row can't be read
Reader = Callable[[io.BufferedReader, str], Iterator[tuple[int, Any]]]


def text_rows(file: Iterable[bytes], name: str, *, before: int = 0) -> Iterator[tuple[int, Any]]:
    """Yield (line number, {"text": line}) of a plain text file: one document per line, blank lines skipped.

    `before` lines are ahead of the first one, if the file is read from a later line on.
    """
    if isinstance(file, io.BufferedReader):
        peek_start(file, name)
    for number, line in lines(file, name, before=before):
        yield number, line if isinstance(line, UsageError) else checked_row({"text": line}, name, number)


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
_BY_MAGIC: Mapping[bytes, Reader] = {b"PAR1": parquet_rows, b"ARROW1": arrow_rows}  # take precedence over the suffix


def format_of(path: Path) -> str:
    """Return the lower-case suffix of a file's format, ignoring a compression suffix; it may be empty."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def is_table(path: Path) -> bool:
    """Return True if a file is a Parquet or Arrow table, whatever its suffix."""
    with path.open("rb") as file:
        start = file.read(8)
    return any(start.startswith(magic) for magic in _BY_MAGIC)


def read(path: Path, name: str = "") -> Iterator[RawRow]:
    """Yield the rows of a file; a row that can't be read has a `fault`.

    Args:
        path: the file.
        name: how messages refer to it; by default its path.

    Raises:
        UsageError: the file is empty, of an unknown format, or damaged from some row on; `where` gives the file and row.
    """
    name = name or str(path)
    suffix = format_of(path)
    if suffix not in READERS:
        hint = suggestion(suffix, READERS) or f"Supported: {', '.join(READERS)}, each also with {', '.join(SUFFIXES)}."
        raise UsageError(f"unknown format '{suffix or path.name}'", code="DATA-142", where=name, hint=hint)
    count = 0
    try:
        with open_file(path) as file:
            start = file.peek(8)
            reader = next((reader for magic, reader in _BY_MAGIC.items() if start.startswith(magic)), READERS[suffix])
            for number, data in reader(file, name):
                count += 1
                yield raw_row(data, name, number, path.parent)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno:
            raise UsageError(
                f"can't be read: {error.strerror}", code="DATA-143", where=name, hint="Check the file and its permissions."
            ) from error
        raise row_error(f"damaged: {error}", name, count + 1, "Download or compress the file again.", code="DATA-144") from error
    if not count:
        raise UsageError(
            "the file has no rows", code="DATA-145", where=name, hint="Check that it is the right file and was written completely."
        )
