"""`swift data convert`: write datasets to one JSONL file, in the canonical format of their kind."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import IO, Any

from swift_core.contract import Run, SwiftError, UsageError, Watch, progress
from swift_core.system import paths
from swift_data.reading import Skips, raw_rows
from swift_data.row_filters import OVERLAP, RowSelection
from swift_data.rows import canonical, normalise
from swift_data.task import commonest_kind

_TOLD_EVERY = 1000


def _as_json(value: Any) -> str:
    """Return a table's date or time as text."""
    if isinstance(value, date | time):
        return value.isoformat()
    hint = "Remove the column, or convert it to text."
    raise UsageError(f"a value of type {type(value).__name__} can't be written as JSON", code="DATA-014", hint=hint)


_json = json.JSONEncoder(ensure_ascii=False, default=_as_json).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A converted file; `skipped_in` is the file that lists the skipped rows, or '' if there are none.

    `overlapping` is the number of rows that were left out because they contain a question of the evaluation data, `left_out` those that a
    filter left out, by its reason.
    """

    output: str
    kind: str
    rows: int
    skipped: int
    skipped_in: str
    overlapping: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)


def convert(run: Run, watch: Watch | None = None) -> Converted:
    """Write the run's datasets to the file in its option `output`, atomically.

    Raises:
        UsageError: a row is invalid and not skipped, too many rows were skipped, or there are no rows.
    """
    how = run.options["data"]
    output = Path(run.options["output"])
    listing = output.with_name(f"{output.name}.skipped")
    kind = run.options["kind"] or commonest_kind(run.datasets, how) or "chat"
    media = Path(how["media_folder"]) if how["media_folder"] else None
    selection, left_out = RowSelection(run.options), Counter[str]()
    total = 0
    with _aside(output) as file:
        listing.unlink(missing_ok=True)
        skips = Skips(how, [listing])
        for choice in run.datasets:
            for raw in raw_rows(choice, how):
                total += 1
                if watch and total % _TOLD_EVERY == 0:
                    watch(progress("convert", total, None, "rows"))
                if reason := selection.reason(raw):
                    left_out[reason] += 1
                    continue
                try:
                    line = _json(canonical(normalise(raw, (kind,), media_folder=media)))
                except SwiftError as error:
                    skips.bad(error, raw)
                else:
                    file.write(f"{line}\n")
        skips.finish(total)
        if not total:
            raise UsageError(
                "the dataset has no rows", code="DATA-015", where="dataset", hint="Check the file, and the number of rows after '#'."
            )
    return Converted(
        output=str(output),
        kind=kind,
        rows=total - skips.count - left_out.total(),
        skipped=skips.count,
        skipped_in=str(listing) if skips.count else "",
        overlapping=left_out.pop(OVERLAP, 0),
        left_out=dict(left_out.most_common()),
    )


@contextmanager
def _aside(target: Path) -> Iterator[IO[str]]:
    """Yield a temporary file; it replaces `target` if the block succeeds, and is removed if it fails."""
    if target.is_dir():
        raise UsageError(f"'{target}' is a folder", code="DATA-016", where="output", hint="Give the path of a file, such as rows.jsonl.")
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        paths.make_folder(target.parent)
        try:
            with aside.open("w", encoding="utf-8") as file:
                yield file
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise paths.disk_error(error, target) from error
