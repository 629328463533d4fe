"""Parts of data files: ranges of lines, and row groups of Parquet files. Files of other formats, and compressed ones, are one part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_core.contract import RawRow
from swift_plugin_datasets.arrow_rows import parquet_groups, parquet_rows
from swift_plugin_datasets.compression import is_compressed
from swift_plugin_datasets.json_rows import is_json_lines, json_line_rows
from swift_plugin_datasets.lines import raw_row
from swift_plugin_datasets.readers import format_of, is_table, read, text_rows

_LINES = {".json": json_line_rows, ".jsonl": json_line_rows, ".ndjson": json_line_rows, ".txt": text_rows}
Place = Mapping[str, Any]


def file_parts(path: Path, rows: int) -> Iterator[Place]:
    """Yield the places of a file's parts, of about `rows` rows each: {file}, or with a range of bytes, or of row groups.

    `before` is the number of lines or rows ahead of a part.
    """
    form, file = format_of(path), str(path)
    if is_compressed(path) or (form != ".parquet" and is_table(path)):
        yield {"file": file}
    elif form == ".parquet":
        yield from ({"file": file, **place} for place in parquet_groups(path, rows))
    elif form == ".txt" or (form in _LINES and is_json_lines(path)):
        yield from ({"file": file, **place} for place in _line_ranges(path, rows))
    else:
        yield {"file": file}


def part_rows(place: Place) -> Iterator[RawRow]:
    """Yield the rows of a part, with the numbers that they have in the file.

    Raises:
        UsageError: the file can't be read.
    """
    path = Path(place["file"])
    name, before = str(path), place.get("before", 0)
    if not {"start", "groups"} & place.keys():
        yield from read(path)
        return
    with path.open("rb") as file:
        if "groups" in place:
            rows = parquet_rows(file, name, groups=place["groups"], before=before)
        else:
            file.seek(place["start"])
            rows = _LINES[format_of(path)](_until(file, place["stop"]), name, before=before)
        for number, data in rows:
            yield raw_row(data, name, number, path.parent)


def _line_ranges(path: Path, rows: int) -> Iterator[Place]:
    """Yield ranges of bytes with `rows` lines each, the last with fewer."""
    start = at = before = number = 0
    with path.open("rb") as file:
        for line in file:
            if number - before == rows:
                yield {"start": start, "stop": at, "before": before}
                start, before = at, number
            at += len(line)
            number += 1
    if start == 0:
        yield {}
    else:
        yield {"start": start, "stop": at, "before": before}


def _until(file: Any, stop: int) -> Iterator[bytes]:
    """Yield the lines of a file from its position to a byte."""
    left = stop - file.tell()
    while left > 0:
        line = file.readline()
        left -= len(line)
        yield line
