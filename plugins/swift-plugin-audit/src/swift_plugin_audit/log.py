"""The log: entries are appended under a lock, and the head of the chain is signed each time."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swift_core.contract import SwiftError
from swift_core.system import disk_errors, locked
from swift_plugin_audit import entry as entries, files, heads
from swift_plugin_audit.entry import Entry
from swift_plugin_audit.heads import Head
from swift_plugin_audit.places import Places

BEGIN = "log-started"


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry that is to be appended; `more` are further keys of its head."""

    event: str
    run: str = ""
    sections: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


class Log:
    """The log in `places.log`."""

    def __init__(self, places: Places) -> None:
        self.places = places

    def append(self, drafts: Sequence[Draft]) -> Head:
        """Append entries, sign the new head, and keep it in `places.heads`; return it.

        Raises:
            SwiftError: the log, the heads or the key can't be read or written; no entry is left half-written.
        """
        path = self.places.log
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(path), files.opened(path) as log:
            last, name, begun = self._end(log)
            for draft in drafts:
                last = entries.make(last, draft.event, draft.run, sections=draft.sections, **draft.more)
                begun.append(last)
            with disk_errors(path):
                files.append(log, b"".join(each.line() + b"\n" for each in begun))
            return heads.keep(Head(name, last.seq, last.hash), self.places)

    def redact(self, sections: Mapping[int, Collection[str]], draft: Draft) -> Head:
        """Append the entry on what is removed, then remove the sections (number of the entry → names) from the file.

        Raises:
            SwiftError: as `append`; or a line is damaged.
        """
        path = self.places.log
        head = self.append([draft])
        with locked(path):
            kept = b"".join(_without(each, sections.get(each.seq, ())).line() + b"\n" for each in read(path))
            aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            with disk_errors(path):
                try:
                    with files.opened(aside) as descriptor:
                        files.append(descriptor, kept)
                    os.replace(aside, path)
                finally:
                    aside.unlink(missing_ok=True)
        return head

    def _end(self, log: int) -> tuple[Entry, str, list[Entry]]:
        """Return the last entry, the identity of the log, and the entries to write first: the first of a new log, or one on torn bytes."""
        found = files.tail(log)
        if not found.line:
            name = secrets.token_hex(16)
            before = heads.last(self.places.heads)
            torn: dict[str, Any] = {"torn": found.about_torn} if found.torn else {}
            first = entries.make(None, BEGIN, log=name, after=before.to_json() if before else None, **torn)
            files.cut(log, found.torn)
            return first, name, [first]
        try:
            last = entries.parse(found.line)
            name = identity(os.pread(log, 65_536, 0).partition(b"\n")[0])
        except ValueError as error:
            raise SwiftError(
                f"the audit log is damaged: {error}",
                code="AUDIT-003",
                where=str(self.places.log),
                hint="swift audit verify names the line.",
            ) from error
        begun = [*self._unsigned(last, name)]
        if found.torn:
            begun.append(entries.make(begun[-1] if begun else last, "torn-line-removed", torn=found.about_torn))
            files.cut(log, found.torn)
        return begun[-1] if begun else last, name, begun

    def _unsigned(self, end: Entry, name: str) -> Iterator[Entry]:
        """Yield an entry on entries that nobody signed: a crash came between, or somebody else wrote them."""
        head = heads.last(self.places.heads)
        signed = head.count if head and head.log == name else 0
        if signed != end.seq or (head and head.hash != end.hash):
            yield entries.make(end, "unsigned-entries-found", unsigned={"signed": signed, "found": end.seq})


def _without(entry: Entry, names: Collection[str]) -> Entry:
    return Entry(entry.head, {name: value for name, value in entry.body.items() if name not in names})


def identity(line: bytes) -> str:
    """Return the identity of a log, which its first line holds.

    Raises:
        ValueError: it holds none.
    """
    first = entries.parse(line)
    if first.head["event"] != BEGIN or not isinstance(first.head.get("log"), str):
        raise ValueError("its first line does not begin a log")
    return str(first.head["log"])


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a log; a torn last line is left out.

    Raises:
        SwiftError: there is no log, or a line is damaged.
    """
    for number, line in lines(path):
        try:
            yield entries.parse(line)
        except ValueError as error:
            raise SwiftError(
                f"line {number} of the audit log is damaged: {error}",
                code="AUDIT-004",
                where=str(path),
                hint="swift audit verify shows up to which line it is intact.",
            ) from error


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the whole lines of a log with their numbers.

    Raises:
        SwiftError: there is no log.
    """
    files.check_place(path)
    if not path.is_file():
        hint = "Runs are recorded once swift-plugin-audit is installed; SWIFT_AUDIT_LOG or --log names another log."
        raise SwiftError("there is no audit log", code="AUDIT-005", where=str(path), hint=hint)
    with disk_errors(path), path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                yield number, line[:-1]
