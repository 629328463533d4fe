"""Source files of a benchmark, row by row: CSV, JSON Lines and JSON, also compressed with gzip."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError

_SUFFIXES = (".csv", ".jsonl", ".json", ".jsonl.gz")


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row of a source file; `number` counts rows from 1, without a header."""

    data: dict[str, Any]
    file: Path
    number: int

    def error(self, message: str, hint: str = "") -> UsageError:
        """Return an error that names the file and the row."""
        return UsageError(message, where=f"{self.file}, row {self.number}", hint=hint, code="EVAL-020")

    def text(self, field: str) -> str:
        """Return a field that must be a text with visible characters.

        Raises:
            UsageError: the field is missing, empty, or no text.
        """
        value = self.value(field)
        if not isinstance(value, str) or not value.strip():
            raise self.error(f"the field '{field}' must be a non-empty text, not {value!r}")
        return value

    def value(self, field: str) -> Any:
        """Return a field that must exist.

        Raises:
            UsageError: it is missing.
        """
        if field not in self.data:
            raise self.error(f"the field '{field}' is missing", f"The row has {', '.join(map(str, self.data)) or 'no fields'}.")
        return self.data[field]


def source_files(paths: Sequence[Path]) -> list[Path]:
    """Return the data files among the paths and below the folders among them, sorted.

    Raises:
        UsageError: a path does not exist, or there is no data file.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no file '{path}'", where="--from", hint="Check the path.", code="EVAL-021")
        inside = path.rglob("*") if path.is_dir() else [path]
        found += [each for each in inside if each.is_file() and each.name.lower().endswith(_SUFFIXES)]
    if not found:
        hint = f"Data files end in {', '.join(_SUFFIXES)}."
        raise UsageError("there are no data files", where=f"--from {' '.join(map(str, paths))}", hint=hint, code="EVAL-022")
    return sorted(set(found))


def stem_of(file: Path) -> str:
    """Return the name of a file without its suffixes."""
    name = file.name
    suffix = next((each for each in sorted(_SUFFIXES, key=len, reverse=True) if name.lower().endswith(each)), "")
    return name[: len(name) - len(suffix)]


def rows(file: Path, columns: Sequence[str] = ()) -> Iterator[SourceRow]:
    """Yield the rows of a file.

    Args:
        file: the file.
        columns: names of the columns of a CSV file without a header.

    Raises:
        UsageError: a row can't be read; names the file and the row.
    """
    if file.name.lower().endswith(".csv"):
        yield from _csv_rows(file, columns)
    else:
        yield from _json_rows(file)


def _csv_rows(file: Path, columns: Sequence[str]) -> Iterator[SourceRow]:
    reader = csv.DictReader(io.StringIO(_content(file), newline=""), fieldnames=columns or None, strict=True)
    number = 0
    try:
        for number, data in enumerate(reader, 1):
            row = SourceRow({key.strip(): value for key, value in data.items() if key is not None}, file, number)
            if None in data or None in data.values():
                cells = sum(value is not None for value in data.values()) + len(data.get(None) or ())
                raise row.error(f"the row has {cells} columns, and the file {len(reader.fieldnames or ())}")
            yield row
    except csv.Error as error:
        raise SourceRow({}, file, number + 1).error(f"the row is not valid CSV: {error}") from None


def _json_rows(file: Path) -> Iterator[SourceRow]:
    content = _content(file)
    if content.lstrip().startswith("["):
        try:
            values = json.loads(content)
        except ValueError as error:
            raise UsageError(f"the file is not valid JSON: {error}", where=str(file), code="EVAL-023") from None
        numbered = list(enumerate(values, 1))
    else:
        numbered = []
        for number, line in enumerate(content.splitlines(), 1):
            if line.strip():
                try:
                    numbered.append((number, json.loads(line)))
                except ValueError as error:
                    raise SourceRow({}, file, number).error(f"the row is not valid JSON: {error}") from None
    for number, value in numbered:
        if not isinstance(value, dict):
            raise SourceRow({}, file, number).error(f"the row must be an object, not {type(value).__name__}")
        yield SourceRow(value, file, number)


def _content(file: Path) -> str:
    try:
        raw = gzip.decompress(file.read_bytes()) if file.name.lower().endswith(".gz") else file.read_bytes()
        return raw.decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError) as error:
        raise UsageError(f"the file can't be read: {error}", where=str(file), hint="Files must be UTF-8 text.", code="EVAL-024") from None
