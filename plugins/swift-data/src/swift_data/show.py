"""`swift data show`: one row as the model is trained on it, or without a model in the canonical format of its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swift_core.contract import DataChoice, RawRow, Run, UsageError
from swift_data.inspector import Rendered
from swift_data.reading import raw_rows
from swift_data.rows import canonical, normalise
from swift_data.task import inspector_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A row of a file: in its canonical format (`row`), and as the sequences that the model is trained on (None without a model)."""

    file: str
    number: int
    row: dict[str, Any]
    sequences: Sequence[Rendered] | None
    max_length: int | None
    truncation: str

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return asdict(self)


def show(run: Run, kinds: Sequence[str]) -> Shown:
    """Return the row selected by the run's option `row`.

    Raises:
        UsageError: there is no such row, or it is invalid; with the same message as in training.
    """
    if len(run.datasets) > 1:
        raise UsageError(
            "more than one dataset is given", code="DATA-112", where="dataset", hint="Give one dataset, and the row as --row N."
        )
    how = run.options["data"]
    raw = find_row(run.datasets[0], run.options["row"], how)
    row = normalise(raw, kinds, media_folder=Path(how["media_folder"]) if how["media_folder"] else None)
    inspector = inspector_of(run)
    return Shown(
        file=raw.file,
        number=raw.number,
        row=canonical(row),
        sequences=inspector.render(raw) if inspector else None,
        max_length=inspector.max_length if inspector else None,
        truncation=inspector.truncation if inspector else "",
    )


def find_row(choice: DataChoice, number: int, how: Mapping[str, Any] | None = None) -> RawRow:
    """Return the row with this number (from 1) in a dataset's first file.

    Raises:
        UsageError: there is no such row.
    """
    last = None
    for raw in raw_rows(choice, how):
        if last and raw.file != last.file:
            break
        if raw.number == number:
            return raw
        last = raw
        if raw.number > number:
            raise UsageError(
                f"row {number} is blank", code="DATA-113", where=raw.file, hint="Blank lines count as row numbers, but are not rows."
            )
    name, count = (last.file, last.number) if last else (choice.asked, 0)
    raise UsageError(f"there is no row {number}; the last one is {count}", code="DATA-114", where=name, hint="Rows are numbered from 1.")
