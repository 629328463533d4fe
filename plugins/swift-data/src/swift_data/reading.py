"""Read the rows of a run's datasets with their limits, renamed columns and roles, and handle invalid rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from swift_core.contract import DataChoice, RawRow, SwiftError, UsageError, suggestion
from swift_data.personal_data import redacted

SKIPPED_FILE = "skipped_rows.jsonl"
_SHOWN = 5
_ELSE = "Run swift data check to list all invalid rows, or skip them with --data.on-error skip."


def raw_rows(choice: DataChoice, how: Mapping[str, Any] | None = None) -> Iterator[RawRow]:
    """Yield a dataset's rows up to its limit, with columns and roles renamed as in the run's `data` options.

    Args:
        choice: the dataset; its own `columns` (source name → name here) are applied too.
        how: the `data` options: `columns` for all datasets, `roles` (source name → name here) of messages, and whether to `redact`
            personal data.

    Raises:
        UsageError: the source is unreadable, or a row lacks a field that is to be renamed.
    """
    yield from as_read(islice(choice.build().rows(), choice.limit), choice, how or {})


def as_read(rows: Iterable[RawRow], choice: DataChoice, how: Mapping[str, Any]) -> Iterator[RawRow]:
    """Yield rows of a dataset's source with columns and roles renamed, and redacted; see `raw_rows`."""
    columns = {**(how.get("columns") or {}), **choice.columns}
    roles: Mapping[str, str] = how.get("roles") or {}
    for row in rows:
        named = _rename(row, columns) if columns else row
        cast = _cast(named, roles) if roles else named
        yield redacted(cast) if how.get("redact") else cast


def _rename(row: RawRow, columns: Mapping[str, str]) -> RawRow:
    if not isinstance(row.data, Mapping):
        return row
    for theirs in columns:
        if theirs not in row.data:
            hint = suggestion(theirs, map(str, row.data)) or f"Its fields: {', '.join(map(str, row.data))}."
            raise UsageError(f"there is no field '{theirs}' to rename", code="DATA-017", where=f"{row.file}, row {row.number}", hint=hint)
    names = [columns.get(key, key) for key in row.data]
    if taken := next((name for name in names if names.count(name) > 1), ""):
        hint = f"""Rename the other one too: '{{"{taken}": "_{taken}"}}'."""
        raise UsageError(f"two fields would be named '{taken}'", code="DATA-018", where=f"{row.file}, row {row.number}", hint=hint)
    return replace(row, data=dict(zip(names, row.data.values(), strict=True)))


def _cast(row: RawRow, roles: Mapping[str, str]) -> RawRow:
    """Return the row with the roles of its messages replaced, in all lists of objects with a `role` or `from`."""
    if not isinstance(row.data, Mapping):
        return row
    return replace(row, data={key: _with_roles(value, roles) for key, value in row.data.items()})


def _with_roles(value: Any, roles: Mapping[str, str]) -> Any:
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")) and any(f'"{role}"' in value for role in roles):
        try:
            value = json.loads(value)  # JSON text in a table cell
        except ValueError:
            return value
    if isinstance(value, list | tuple):
        return [_with_roles(item, roles) if isinstance(item, Mapping) else item for item in value]
    if not isinstance(value, Mapping):
        return value
    renamed = {name: roles[value[name]] for name in ("role", "from") if isinstance(value.get(name), str) and value[name] in roles}
    return {**value, **renamed} if renamed else value


class Skips:
    """The policy of `data.on_error`: raise the first invalid row's error, or skip up to `data.max_skipped` rows and list them in files.

    Args:
        options: the run's `data` options.
        files: JSONL files to list skipped rows in; messages name the first.
    """

    def __init__(self, options: Mapping[str, Any], files: Sequence[Path] = ()) -> None:
        self.skipping = options.get("on_error", "stop") == "skip"
        self.most = str(options.get("max_skipped", "1%"))
        self.files, self.count = files, 0
        self._first: list[SwiftError] = []

    def adopt(self, listed: Sequence[str]) -> None:
        """Count invalid rows that other processes have skipped: lines of the files in which they listed them."""
        self.count += len(listed)
        for line in listed[: _SHOWN - len(self._first)]:
            known = json.loads(line)
            self._first.append(UsageError(known["message"], code=known["code"], where=known["where"]))

    def bad(self, error: SwiftError, row: RawRow) -> None:
        """Handle an invalid row: raise `error` (with the row's place, if it has none), or skip the row and list it.

        Raises:
            SwiftError: invalid rows stop the run, or more than the allowed number were skipped.
        """
        placed = error if error.where else error.with_context(where=f"{row.file}, row {row.number}")
        if not self.skipping:
            raise placed.with_context(hint=placed.hint or _ELSE) from error
        self.count += 1
        if len(self._first) < _SHOWN:
            self._first.append(placed)
        listed = {"file": row.file, "row": row.number, "where": placed.where, "code": placed.code, "message": placed.message}
        for file in self.files:
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(listed, ensure_ascii=False) + "\n")
        if not self.most.endswith("%") and self.count > int(self.most):
            raise self._too_many(f"{self.count} rows are invalid, at most {self.most} may be skipped")

    def finish(self, total: int) -> None:
        """Check the share of skipped rows, after all `total` rows (valid and invalid) were read.

        Raises:
            UsageError: too many rows were skipped, or no row is valid.
        """
        if self.count and self.count == total:
            raise self._too_many(f"none of the {total} rows is valid")
        if not self.most.endswith("%") and self.count > int(self.most):
            raise self._too_many(f"{self.count} rows are invalid, at most {self.most} may be skipped")
        if self.most.endswith("%") and self.count > float(self.most[:-1]) / 100 * total:
            raise self._too_many(f"{self.count} of {total} rows are invalid, at most {self.most} may be skipped")

    def _too_many(self, message: str) -> UsageError:
        listed = f" All are listed in {self.files[0]}." if self.files else ""
        first = "\n".join(f"  {error}" for error in self._first)
        return UsageError(
            f"{message}. The first:\n{first}", code="DATA-019", where="data.max_skipped", hint=f"Fix the rows, or raise the limit.{listed}"
        )
