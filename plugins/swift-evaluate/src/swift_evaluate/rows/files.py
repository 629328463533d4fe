"""Read rows of questions from JSON Lines, JSON, CSV and TSV files, each with its place."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError
from swift_evaluate.prepare.folder import RECORD, read_prepared

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv")
_NO_HEADER = {6: ("question", "A", "B", "C", "D", "answer")}  # MMLU's own files, by the number of columns


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """A row as its file has it. `subset` is the part of the folder that it belongs to, '' for a lone file."""

    data: Mapping[str, Any]  # field -> value
    file: Path  # the file that has the row
    number: int  # number of the row in its file, from 1
    subset: str = ""

    @property
    def where(self) -> str:
        """The place of the row, for errors."""
        return f"{self.file}, row {self.number}"


def read_rows(path: Path) -> list[SourceRow]:
    """Return the rows of a file, of a prepared benchmark, or of a folder's test files: `NAME_test.csv`, `NAME_val.csv`, else `NAME.jsonl`.

    Raises:
        UsageError: there is no such file, it has no rows, or it can't be parsed.
    """
    if path.is_dir():
        rows = [row for file, subset in _test_files(path) for row in _rows(file, subset)]
    elif path.is_file():
        rows = list(_rows(path, ""))
    else:
        raise UsageError("there is no such file or folder", code="EVAL-096", where=str(path), hint="Check the path.")
    if not rows:
        raise UsageError("there are no rows", code="EVAL-097", where=str(path), hint=f"Rows are read from {', '.join(SUFFIXES)}.")
    return rows


def example_files(path: Path) -> dict[str, Path]:
    """Return the files with few-shot examples that a folder has, by subset: `NAME_dev.csv`, or those of a prepared benchmark."""
    if (path / RECORD).is_file():
        found = read_prepared(path)
        return {subset: found.file(subset, found.few_shot) for subset in found.subsets} if found.has_few_shot else {}
    files = [file for file in sorted(path.rglob("*_dev.*")) if file.suffix in SUFFIXES] if path.is_dir() else []
    return {file.stem.removesuffix("_dev"): file for file in files}


def _test_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of a folder with the names of their subsets."""
    if (folder / RECORD).is_file():
        prepared = read_prepared(folder)
        yield from ((prepared.file(subset), subset) for subset in prepared.subsets)
        return
    by_subset: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix in SUFFIXES:
            name, _, part = file.stem.rpartition("_")
            name, part = (name, part) if part in ("dev", "val", "test") and name else (file.stem, "test")
            by_subset.setdefault(name, {}).setdefault(part, file)
    for name, parts in by_subset.items():
        if chosen := parts.get("test") or parts.get("val"):
            yield chosen, name


def _rows(file: Path, subset: str) -> Iterator[SourceRow]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the file is not UTF-8: byte {error.start}", code="EVAL-098", where=str(file), hint="Convert it to UTF-8."
        ) from None
    if file.suffix == ".jsonl":
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield _row(_json(line, f"{file}, row {number}"), file, number, subset)
    elif file.suffix == ".json":
        values = _json(text, str(file))
        if not isinstance(values, list):
            raise UsageError(
                "the file is not a list of rows", code="EVAL-099", where=str(file), hint="Write [{…}, {…}], or one row per line (.jsonl)."
            )
        for number, value in enumerate(values, 1):
            yield _row(value, file, number, subset)
    elif file.suffix in (".csv", ".tsv"):
        yield from _table(text, file, subset)
    else:
        message = f"rows can't be read from {file.suffix or 'a file without a suffix'}"
        raise UsageError(message, code="EVAL-100", where=str(file), hint=f"Use {', '.join(SUFFIXES)}.")


def _table(text: str, file: Path, subset: str) -> Iterator[SourceRow]:
    lines = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t" if file.suffix == ".tsv" else ","))
    if not lines:
        return
    names = [name.strip() or "id" for name in lines[0]]
    known = {name.lower() for name in names}
    if not known & {"question", "query", "prompt", "instruction", "messages", "input"} and len(names) in _NO_HEADER:
        names, body, first = list(_NO_HEADER[len(names)]), lines, 1
    else:
        body, first = lines[1:], 2
    for number, cells in enumerate(body, first):
        if not cells:
            continue
        if len(cells) != len(names):
            message = f"the row has {len(cells)} columns, and the first has {len(names)}"
            raise UsageError(message, code="EVAL-101", where=f"{file}, row {number}", hint="Quote cells that contain separators.")
        yield SourceRow(data=dict(zip(names, cells, strict=True)), file=file, number=number, subset=subset)


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"invalid JSON: {error}", code="EVAL-102", where=where, hint="Correct the file.") from None


def _row(value: Any, file: Path, number: int, subset: str) -> SourceRow:
    if not isinstance(value, dict):
        where = f"{file}, row {number}"
        raise UsageError(
            "the row is not an object with named fields", code="EVAL-103", where=where, hint='Write {"question": …, "answer": …}.'
        )
    return SourceRow(data=value, file=file, number=number, subset=subset)
