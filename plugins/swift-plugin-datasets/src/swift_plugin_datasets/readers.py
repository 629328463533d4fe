"""Files → rows, by suffix and as a stream, so that a file may be larger than memory (a JSON array is the exception).

Rows are numbered as the file's reader would count them: lines of line formats, records of tables, places in an array, from 1.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from swift_core.errors import UsageError, suggestion
from swift_core.roles import RawRow

Source = io.BufferedReader | gzip.GzipFile
Reader = Callable[[Source, str], Iterator[RawRow]]
_BOM = b"\xef\xbb\xbf"


def read(path: Path, name: str = "") -> Iterator[RawRow]:
    """The rows of a file, which messages call `name` (its path if empty).

    Raises:
        UsageError: of an unknown format, empty, or damaged; says file and row.
    """
    name = name or str(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    zipped = suffixes[-1:] == [".gz"]
    suffix = "".join(suffixes[-2:-1] if zipped else suffixes[-1:])
    if suffix not in _READERS:
        hint = suggestion(suffix, _READERS) or f"Known: {', '.join(_READERS)}, each also with .gz."
        raise UsageError(f"the format '{suffix or path.name}' is unknown", where=name, hint=hint)
    count = 0
    try:
        with gzip.open(path) if zipped else path.open("rb") as file:
            for row in _READERS[suffix](file, name):
                _check_text(row.data, row)
                count += 1
                yield replace(row, folder=path.parent)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _error(f"damaged: {error}", name, count + 1, "Fetch or compress the file again.") from error
    if not count:
        raise UsageError("an empty file: it has no rows", where=name, hint="Is it the right file, and was it written to the end?")


def _json(file: Source, name: str) -> Iterator[RawRow]:
    """An array, or one object a line: what it begins with decides, since both suffixes are in use for both."""
    start = file.peek(1 << 13).removeprefix(_BOM).lstrip()
    return _array(file, name) if start.startswith(b"[") else _json_lines(file, name)


def _json_lines(file: Source, name: str) -> Iterator[RawRow]:
    for number, line in _lines(file, name):
        try:
            yield RawRow(json.loads(line), name, number)
        except (ValueError, RecursionError) as error:
            hint = f"It reads: {_short(line)}"
            if line.strip() in ("{", "["):
                hint = "Write one object a line, or put the objects into one array: [{…}, {…}]."
            raise _error(f"not JSON: {_reason(error)}", name, number, hint) from None


def _array(file: Source, name: str) -> Iterator[RawRow]:
    text = "\n".join(line for _, line in _lines(file, name))
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        near = text[max(0, error.pos - 30) : error.pos + 30] if isinstance(error, json.JSONDecodeError) else ""
        raise UsageError(f"not a JSON array: {_reason(error)}", where=f"{name}, line {line}", hint=f"Near: {_short(near)}") from None
    for number, data in enumerate(rows, 1):
        yield RawRow(data, name, number)


def _text(file: Source, name: str) -> Iterator[RawRow]:
    """A document a line; blank lines only separate."""
    for number, line in _lines(file, name):
        yield RawRow({"text": line}, name, number)


def _comma(file: Source, name: str) -> Iterator[RawRow]:
    return _table(file, name, ",")


def _tab(file: Source, name: str) -> Iterator[RawRow]:
    return _table(file, name, "\t")


def _table(file: Source, name: str, separator: str) -> Iterator[RawRow]:
    csv.field_size_limit(2**31 - 1)  # texts are long
    records = csv.reader((f"{line}\n" for _, line in _lines(file, name, blank=True)), delimiter=separator, strict=True)
    header = next(records, [])
    repeated = {column for column in header if header.count(column) > 1}
    if repeated:
        raise UsageError(f"the header has '{min(repeated)}' twice", where=name, hint="Give each column a name of its own.")
    number = 0
    try:
        for record in records:
            if not record:
                continue
            number += 1
            if len(record) != len(header):
                hint = f"Quote cells that hold '{separator}' or line ends. The header: {_short(separator.join(header))}"
                raise _error(f"has {len(record)} cells where the header has {len(header)}", name, number, hint)
            yield RawRow(dict(zip(header, record, strict=True)), name, number)
    except csv.Error as error:
        raise _error(f"not a table: {error}", name, number + 1, "Look for a quotation mark that is not closed.") from None


def _parquet(file: Source, name: str) -> Iterator[RawRow]:
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
                yield RawRow(data, name, number)
    except arrow.ArrowException as error:
        raise _error(f"not a parquet file, or damaged: {_short(str(error))}", name, number + 1, "Fetch the file again.") from None


_READERS: Mapping[str, Reader] = {
    ".json": _json,
    ".jsonl": _json,
    ".ndjson": _json,
    ".csv": _comma,
    ".tsv": _tab,
    ".txt": _text,
    ".parquet": _parquet,
}


def _lines(file: Iterable[bytes], name: str, *, blank: bool = False) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, without BOM and line ends (LF or CRLF); blank ones are left out unless wanted."""
    for number, raw in enumerate(file, 1):
        line = raw.removeprefix(_BOM) if number == 1 else raw
        if line.startswith((b"\xff\xfe", b"\xfe\xff")) and number == 1:
            raise UsageError("in UTF-16; only UTF-8 is read", where=name, hint="Save the file as UTF-8.")
        try:
            text = line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise _error(f"not UTF-8 (byte {error.start + 1} of the line)", name, number, "Save the file as UTF-8.") from None
        if blank or text.strip():
            yield number, text


def _check_text(value: Any, row: RawRow, path: str = "$") -> None:
    """Refuse what no tokenizer can take: NUL characters, and halves of surrogate pairs, which are no characters."""
    if isinstance(value, str):
        if "\0" in value:
            raise _error("holds a NUL character", row.file, row.number, "Remove the character: \\u0000.", path)
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            bad = value[error.start].encode("ascii", "backslashreplace").decode()
            raise _error(
                f"holds half a character ({bad})", row.file, row.number, "The text was cut inside an emoji; mend it.", path
            ) from None
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check_text(item, row, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_text(item, row, f"{path}[{index}]")


def _error(message: str, name: str, number: int, hint: str, path: str = "") -> UsageError:
    return UsageError(message, where=f"{name}, row {number}{', ' + path if path else ''}", hint=hint)


def _reason(error: Exception) -> str:
    return f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else "nested too deeply"


def _short(text: str, most: int = 60) -> str:
    return repr(text if len(text) <= most else f"{text[:most]}…")
