"""Filters of rows: by language, quality, overlap with evaluation data. Each is registered in the entry-point group `swift.row_filters`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swift_core.contract import RawRow
from swift_core.options import Options
from swift_data.offered import offered
from swift_data.overlap import questions_of
from swift_data.personal_data import texts

GROUP = "swift.row_filters"
OVERLAP = "contains a question of the evaluation data"


class RowFilter(Options):
    """Base of every filter; its fields are its options. One object is built in each process."""

    def reason(self, texts: Sequence[str]) -> str:
        """Return why a row with these texts is left out, in a few words without its content; '' keeps it."""
        raise NotImplementedError


class RowSelection:
    """Selects rows by filters, and by overlap with evaluation data.

    Args:
        options: `filters` as the user named them, `against` (evaluation data) and `hub` (of a bare `org/name` in it).

    Raises:
        UsageError: there is no such filter, its options are wrong, or the evaluation data can't be read.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._filters = [offered(GROUP, RowFilter, asked, "filter", "row filter") for asked in options.get("filters") or ()]
        self._questions = questions_of(options["against"], options.get("hub", "")) if options.get("against") else None

    def reason(self, row: RawRow) -> str:
        """Return why a row is left out; '' keeps it, as it does a row that can't be read, which is an error elsewhere."""
        if row.fault:
            return ""
        if self._questions and self._questions.found_in(row.data):
            return OVERLAP
        own = [text for _, text in texts(row.data)] if self._filters else []
        return next((f"{name}: {reason}" for name, each in self._filters if (reason := each.reason(own))), "")
