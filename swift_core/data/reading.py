"""The rows of a run's data sets, as the user wants them: so many, under these names; and what happens to bad ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from swift_core.errors import SwiftError, UsageError, suggestion
from swift_core.roles import RawRow
from swift_core.run import DataChoice

SKIPPED_FILE = "skipped_rows.jsonl"
_SHOWN = 5
_ELSE = "swift data check names all rows that can't be used; --data.on-error skip leaves them out."


def raw_rows(choice: DataChoice, how: Mapping[str, Any] | None = None) -> Iterator[RawRow]:
    """A data set's rows up to its limit, as the run's `data` options ask for them.

    Args:
        choice: the data set; its own `columns` rename its fields (theirs → ours) too.
        how: `columns` for all data sets, and `roles`, which do the same with who speaks in messages.

    Raises:
        UsageError: the source is unreadable, or a row has no field of a name that is to be replaced.
    """
    columns = {**((how or {}).get("columns") or {}), **choice.columns}
    roles: Mapping[str, str] = (how or {}).get("roles") or {}
    for row in islice(choice.build().rows(), choice.limit):
        named = _rename(row, columns) if columns else row
        yield _cast(named, roles) if roles else named


def _rename(row: RawRow, columns: Mapping[str, str]) -> RawRow:
    if not isinstance(row.data, Mapping):
        return row
    for theirs in columns:
        if theirs not in row.data:
            hint = suggestion(theirs, map(str, row.data)) or f"It has: {', '.join(map(str, row.data))}."
            raise UsageError(f"there is no field '{theirs}' to rename", where=f"{row.file}, row {row.number}", hint=hint)
    names = [columns.get(key, key) for key in row.data]
    if taken := next((name for name in names if names.count(name) > 1), ""):
        hint = f"""Give the other one another name too: '{{"{taken}": "_{taken}"}}'."""
        raise UsageError(f"two fields would be called '{taken}'", where=f"{row.file}, row {row.number}", hint=hint)
    return replace(row, data=dict(zip(names, row.data.values(), strict=True)))


def _cast(row: RawRow, roles: Mapping[str, str]) -> RawRow:
    """The row with the roles of its messages replaced: wherever a list holds objects with a `role` or `from`."""
    if not isinstance(row.data, Mapping):
        return row
    return replace(row, data={key: _with_roles(value, roles) for key, value in row.data.items()})


def _with_roles(value: Any, roles: Mapping[str, str]) -> Any:
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")) and any(f'"{role}"' in value for role in roles):
        try:
            value = json.loads(value)  # a table's cell
        except ValueError:
            return value
    if isinstance(value, list | tuple):
        return [_with_roles(item, roles) if isinstance(item, Mapping) else item for item in value]
    if not isinstance(value, Mapping):
        return value
    said = {name: roles[value[name]] for name in ("role", "from") if isinstance(value.get(name), str) and value[name] in roles}
    return {**value, **said} if said else value


class Skips:
    """What `data.on_error` does: raises the first bad row's error, or lists bad rows in a file and goes on, up to `data.max_skipped`.

    Args:
        options: the run's `data` options.
        files: where skipped rows are listed, one JSON object a line; messages name the first.
    """

    def __init__(self, options: Mapping[str, Any], files: Sequence[Path] = ()) -> None:
        self.skipping = options.get("on_error", "stop") == "skip"
        self.most = str(options.get("max_skipped", "1%"))
        self.files, self.count = files, 0
        self._first: list[SwiftError] = []

    def bad(self, error: SwiftError, row: RawRow) -> None:
        """A row can't be used: raise `error` (with the row's place, if it has none), or list it.

        Raises:
            SwiftError: bad rows stop the run, or more were skipped than the number allowed.
        """
        placed = error if error.where else type(error)(error.message, hint=error.hint, where=f"{row.file}, row {row.number}")
        if not self.skipping:
            placed.hint = placed.hint or _ELSE
            raise placed from error
        self.count += 1
        if len(self._first) < _SHOWN:
            self._first.append(placed)
        listed = {"file": row.file, "row": row.number, "where": placed.where, "message": placed.message}
        for file in self.files:
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(listed, ensure_ascii=False) + "\n")
        if not self.most.endswith("%") and self.count > int(self.most):
            raise self._too_many(f"{self.count} rows can't be used, {self.most} may be left out")

    def finish(self, total: int) -> None:
        """All rows were read, good and bad: check the share of bad ones, and that good ones are left.

        Raises:
            UsageError: too many were skipped.
        """
        if self.count and self.count == total:
            raise self._too_many(f"none of the {total} rows can be used")
        if self.most.endswith("%") and self.count > float(self.most[:-1]) / 100 * total:
            raise self._too_many(f"{self.count} of {total} rows can't be used, {self.most} may be left out")

    def _too_many(self, message: str) -> UsageError:
        listed = f" All are listed in {self.files[0]}." if self.files else ""
        first = "\n".join(f"  {error}" for error in self._first)
        return UsageError(f"{message}. The first:\n{first}", where="data.max_skipped", hint=f"Mend the rows, or allow more.{listed}")
