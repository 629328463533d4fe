"""Remove sections of entries, by age, subject or run, and leave an entry that says what was removed, by whom and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from swift_core.contract import UsageError
from swift_plugin_audit import facts
from swift_plugin_audit.entry import Entry
from swift_plugin_audit.log import Draft, Log, read
from swift_plugin_audit.places import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which sections: older than `days`, holding the text `subject`, of the run `run`, of the names `sections`; all that are given hold."""

    days: float | None = None
    subject: str = ""
    run: str = ""
    sections: Sequence[str] = ()

    def chosen(self, entry: Entry, now: datetime) -> list[str]:
        """Return the names of the sections of an entry that are chosen."""
        if self.days is not None and entry.time > now - timedelta(days=self.days):
            return []
        if self.run and entry.head["run"] != self.run:
            return []
        return [
            name
            for name, value in entry.body.items()
            if (not self.sections or name in self.sections)
            and (not self.subject or self.subject in json.dumps(value["value"], ensure_ascii=False))
        ]


def select(places: Places, selection: Selection) -> dict[int, list[str]]:
    """Return the sections that a selection chooses, by number of the entry.

    Raises:
        UsageError: the selection chooses by nothing.
        SwiftError: the log can't be read.
    """
    if selection.days is None and not selection.subject and not selection.run:
        hint = "Give --older-than, --subject or --run."
        raise UsageError("no condition given", code="AUDIT-008", where="swift audit redact", hint=hint)
    now = datetime.now(UTC)
    return {entry.seq: names for entry in read(places.log) if (names := selection.chosen(entry, now))}


def redact(places: Places, sections: dict[int, list[str]], reason: str) -> None:
    """Remove sections from the log.

    Raises:
        SwiftError: the log is damaged or can't be written.
    """
    more = {"redacted": {str(seq): names for seq, names in sections.items()}}
    Log(places).redact(sections, Draft("redacted", "", {"who": facts.who(), "reason": reason}, more))
