"""Checks of a dataset: it has rows of the declared kinds, in the same order every time."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from swift_data.rows import normalise

from swift_core.contract import DatasetSpec, RawRow, SwiftError, UsageError
from swift_testing.kit import tiny
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject

DATASET = "dataset"
_KINDS = ("text", "chat", "preference", "label", "prompt", "retrieval", "tagged")
_FIRST = 20


def _made(subject: Subject) -> Any:
    """Build the dataset; one that reads files gets a file with two rows."""
    subject.needs_engine()
    if not subject.spec.suffixes:
        return subject.build()
    path = subject.folder / "rows.jsonl"
    path.write_text("".join(json.dumps(tiny.ROWS["chat"]) + "\n" for _ in range(2)), encoding="utf-8")
    return subject.build(path=str(path))


def _rows(subject: Subject) -> list[RawRow]:
    dataset = _made(subject)
    try:
        dataset.fetch()
    except UsageError:
        raise
    except SwiftError as error:
        raise Skip(f"it can't be fetched here: {error.message}") from None
    return list(islice(dataset.rows(), _FIRST))


@check(DATASET)
def check_row_kinds(subject: Subject) -> None:
    """`rows` lists kinds of row that tasks know."""
    unknown = [kind for kind in subject.spec.rows if kind not in _KINDS]
    require(not unknown, f"rows: unknown kind {', '.join(unknown)}; the kinds are {', '.join(_KINDS)}")


@check(DATASET)
def check_rows(subject: Subject) -> None:
    """Its rows can be read, are of the declared kinds, and have a file and a number counted from 1, which errors refer to."""
    spec: DatasetSpec = subject.spec
    rows = _rows(subject)
    require(rows, "it has no rows")
    require(rows[0].number == 1, f"its first row has the number {rows[0].number}")
    for raw in rows:
        require(raw.file, "a row has no file")
        try:
            normalise(raw, spec.rows or _KINDS)
        except SwiftError as error:
            kinds = ", ".join(spec.rows or _KINDS)
            raise CheckFailed(f"row {raw.number} of {raw.file} is not a row of kind {kinds}: {error.message}") from error


@check(DATASET)
def check_rows_are_reproducible(subject: Subject) -> None:
    """It yields the same rows in the same order every time: a resumed training continues in the middle of them."""
    first, second = [[(raw.data, raw.number) for raw in _rows(subject)] for _ in range(2)]
    require(first == second, "read twice, it yields different rows")


@check(DATASET)
def check_rows_restart(subject: Subject) -> None:
    """`rows()` starts with the first row each time, wherever the previous reader stopped: rows are checked before training."""
    _rows(subject)
    dataset = _made(subject)
    dataset.fetch()
    whole = [(raw.data, raw.number) for raw in islice(dataset.rows(), _FIRST)]
    list(islice(dataset.rows(), 1))
    again = [(raw.data, raw.number) for raw in islice(dataset.rows(), _FIRST)]
    first = again[0][1] if again else "none"
    require(again == whole, f"read again, it yields {len(again)} rows instead of {len(whole)}, starting with number {first}")


@check(DATASET)
def check_row_numbers(subject: Subject) -> None:
    """Row numbers increase within a file: errors name a row by its number, and `--row 7` shows one."""
    last: dict[str, int] = {}
    for raw in _rows(subject):
        require(raw.number > last.get(raw.file, 0), f"in {raw.file} row {raw.number} comes after row {last.get(raw.file)}")
        last[raw.file] = raw.number


@check(DATASET)
def check_missing_file_is_refused(subject: Subject) -> None:
    """A missing file is a UsageError with a hint."""
    if not subject.spec.suffixes:
        raise Skip("it does not read the user's files")
    try:
        dataset = subject.build(path=str(subject.folder / "nowhere.jsonl"))
        dataset.fetch()
        list(dataset.rows())
    except UsageError as error:
        require(error.hint, f"the error has no hint: {error.message}")
        return
    except Exception as error:
        raise CheckFailed(f"a missing file raises {type(error).__name__}: {error}") from error
    raise CheckFailed("a missing file is not an error")
