"""The state of a trigger, in an SQLite database: a process that is killed at any moment loses nothing and repeats nothing.

A message goes through these states: `wanted` (its event is there), `written` (its text is fixed), `ready` (the whole event is recorded),
`delivered`; or `dead`. A text is fixed before it is sent for the first time, so every attempt to deliver a message sends the same bytes.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, Literal

from swift_core.system import digest, disk_errors, make_folder

Added = Literal["new", "known", "different"]
_TABLES = """
CREATE TABLE IF NOT EXISTS events (
    id TEXT PRIMARY KEY, hash TEXT NOT NULL, body TEXT NOT NULL, source TEXT NOT NULL, received REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting', folder TEXT NOT NULL DEFAULT '',
    next_try REAL NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS messages (
    id TEXT PRIMARY KEY, event TEXT NOT NULL REFERENCES events(id), variant TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'wanted', record TEXT NOT NULL DEFAULT '{}', first_try REAL NOT NULL DEFAULT 0,
    next_try REAL NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS waiting_events ON events(state, next_try);
CREATE INDEX IF NOT EXISTS open_messages ON messages(state, next_try);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event that was accepted. Its state is waiting, answered or dead."""

    id: str  # its identity
    hash: str  # SHA-256 of its content
    body: Mapping[str, Any]  # its content
    source: str  # http, files, schedule or command
    received: float  # seconds since 1970
    state: str  # waiting, answered or dead
    folder: str  # of the run that recorded its messages
    tries: int  # attempts to answer it
    note: str  # why the last attempt failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that answers an event."""

    id: str  # EVENT/VARIANT
    event: str  # id of its event
    variant: Mapping[str, Any]  # the fields of its variant
    state: str  # wanted, written, ready, delivered or dead
    record: Mapping[str, Any]  # its text, and how it was made
    first_try: float  # when it was sent first; 0: not yet
    tries: int  # attempts to deliver it
    note: str  # what the last attempt gave


class Store:
    """The database. Safe in several threads."""

    def __init__(self, folder: Path) -> None:
        """Open the database of a folder, which is made."""
        with disk_errors(folder):
            make_folder(folder)
            self._db = sqlite3.connect(folder / "trigger.db", check_same_thread=False, isolation_level=None, timeout=30)
        self.folder = folder
        self._lock = RLock()
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")  # an event that was accepted survives a loss of power
        self._db.executescript(_TABLES)

    def close(self) -> None:
        """Close it."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Yield the database for a change that is done as a whole or not at all."""
        with self._lock, disk_errors(self.folder):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def add(self, name: str, body: Mapping[str, Any], source: str, variants: Sequence[Mapping[str, Any]]) -> Added:
        """Accept an event with a message for each variant; one that is known already is not accepted again.

        Returns:
            'different' if another event has this name.
        """
        hashed = digest(body)
        with self._change() as db:
            before = db.execute("SELECT hash FROM events WHERE id = ?", (name,)).fetchone()
            if before:
                return "known" if before["hash"] == hashed else "different"
            text = json.dumps(body, ensure_ascii=False)
            db.execute(
                "INSERT INTO events (id, hash, body, source, received) VALUES (?,?,?,?,?)", (name, hashed, text, source, time.time())
            )
            rows = [(f"{name}/{variant['id']}", name, json.dumps(variant, ensure_ascii=False)) for variant in variants]
            db.executemany("INSERT INTO messages (id, event, variant) VALUES (?,?,?)", rows)
        return "new"

    def next_event(self) -> Event | None:
        """Return the oldest event that waits for its answers, and may be tried now."""
        return next(self._events("state = 'waiting' AND next_try <= ? ORDER BY received LIMIT 1", time.time()), None)

    def event(self, name: str) -> Event | None:
        """Return an event."""
        return next(self._events("id = ?", name), None)

    def messages(self, event: str) -> list[Message]:
        """Return the messages of an event."""
        return list(self._messages("event = ? ORDER BY rowid", event))

    def message(self, name: str) -> Message | None:
        """Return a message."""
        return next(self._messages("id = ?", name), None)

    def due(self) -> Message | None:
        """Return the message that is to be sent next, and may be tried now."""
        return next(self._messages("state = 'ready' AND next_try <= ? ORDER BY next_try, rowid LIMIT 1", time.time()), None)

    def all_messages(self) -> list[Message]:
        """Return every message, the newest event first."""
        return list(self._messages("1 ORDER BY rowid DESC"))

    def write(self, message: str, record: Mapping[str, Any]) -> None:
        """Fix the text of a message that has none yet."""
        text = json.dumps(record, ensure_ascii=False)
        with self._change() as db:
            db.execute("UPDATE messages SET state = 'written', record = ? WHERE id = ? AND state = 'wanted'", (text, message))

    def release(self, event: str, folder: str) -> None:
        """Let the messages of an event be sent, now that they are recorded in a run folder."""
        with self._change() as db:
            db.execute("UPDATE events SET state = 'answered', folder = ?, note = '' WHERE id = ?", (folder, event))
            db.execute("UPDATE messages SET state = 'ready' WHERE event = ? AND state = 'written'", (event,))

    def event_later(self, event: str, seconds: float, note: str) -> None:
        """Try an event again later."""
        with self._change() as db:
            db.execute("UPDATE events SET next_try = ?, tries = tries + 1, note = ? WHERE id = ?", (time.time() + seconds, note, event))

    def event_dead(self, event: str, note: str) -> None:
        """Give up an event with those of its messages that have no text."""
        with self._change() as db:
            db.execute("UPDATE events SET state = 'dead', note = ? WHERE id = ?", (note, event))
            db.execute("UPDATE messages SET state = 'dead', note = ? WHERE event = ? AND state IN ('wanted', 'written')", (note, event))

    def begin_delivery(self, message: str) -> None:
        """Record that a message is about to be sent."""
        with self._change() as db:
            first = "CASE first_try WHEN 0 THEN ? ELSE first_try END"
            db.execute(f"UPDATE messages SET tries = tries + 1, first_try = {first} WHERE id = ?", (time.time(), message))

    def delivered(self, message: str, note: str) -> None:
        """Record that the receiver has accepted a message."""
        with self._change() as db:
            db.execute("UPDATE messages SET state = 'delivered', note = ? WHERE id = ?", (note, message))

    def later(self, message: str, seconds: float, note: str) -> None:
        """Send a message again later."""
        with self._change() as db:
            db.execute("UPDATE messages SET next_try = ?, note = ? WHERE id = ?", (time.time() + seconds, note, message))

    def dead(self, message: str, note: str) -> None:
        """Give up a message."""
        with self._change() as db:
            db.execute("UPDATE messages SET state = 'dead', note = ? WHERE id = ?", (note, message))

    def revive(self, message: str) -> bool:
        """Let a dead message be tried again from where it was; return whether it was dead."""
        with self._change() as db:
            row = db.execute("SELECT event, record FROM messages WHERE id = ? AND state = 'dead'", (message,)).fetchone()
            if row is None:
                return False
            recorded = db.execute("SELECT folder FROM events WHERE id = ?", (row["event"],)).fetchone()["folder"]
            state = "wanted" if row["record"] == "{}" else "ready" if recorded else "written"
            db.execute("UPDATE messages SET state = ?, first_try = 0, next_try = 0, note = '' WHERE id = ?", (state, message))
            if not recorded:
                again = "UPDATE events SET state = 'waiting', received = ?, next_try = 0, note = '' WHERE id = ? AND state = 'dead'"
                db.execute(again, (time.time(), row["event"]))
        return True

    def open(self, events: Sequence[str] | None = None) -> int:
        """Return the number of messages, of these events or of all, that are neither delivered nor dead."""
        with self._lock:
            rows = self._db.execute("SELECT event FROM messages WHERE state NOT IN ('delivered', 'dead')").fetchall()
        return sum(events is None or row["event"] in events for row in rows)

    def _events(self, where: str, *values: Any) -> Iterator[Event]:
        with self._lock:
            rows = self._db.execute(f"SELECT * FROM events WHERE {where}", values).fetchall()
        for row in rows:
            names = ("id", "hash", "source", "received", "state", "folder", "tries", "note")
            yield Event(body=json.loads(row["body"]), **{name: row[name] for name in names})

    def _messages(self, where: str, *values: Any) -> Iterator[Message]:
        with self._lock:
            rows = self._db.execute(f"SELECT * FROM messages WHERE {where}", values).fetchall()
        for row in rows:
            names = ("id", "event", "state", "first_try", "tries", "note")
            yield Message(variant=json.loads(row["variant"]), record=json.loads(row["record"]), **{name: row[name] for name in names})
