"""One line of the log: a head, which is chained, and a body in sections, of which the head holds the hashes.

    {"head": {"seq": 3, "prev": "…", "time": "…", "event": "run-started", "run": "…", "sections": {"who": "…"}},
     "body": {"who": {"salt": "…", "value": {…}}}}

The next line's `prev` is the SHA-256 of the head alone. A section can so be removed later without breaking the chain: its hash stays, and
an entry `redacted` says who removed it, and why. The salt keeps a removed value from being guessed from its hash. A line is canonical
JSON (sorted keys, no spaces), so that each entry has one spelling only.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

GENESIS = "0" * 64
HEAD_KEYS = {"seq": int, "prev": str, "time": str, "event": str, "run": str, "sections": dict}


@dataclass(frozen=True, slots=True)
class Entry:
    """A parsed line."""

    head: Mapping[str, Any]
    body: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def seq(self) -> int:
        """Its number, from 1: its line in the file."""
        return int(self.head["seq"])

    @property
    def hash(self) -> str:
        """The SHA-256 of its head, which the next entry holds."""
        return _sha256(canonical(self.head))

    @property
    def time(self) -> datetime:
        """Time of writing."""
        return datetime.fromisoformat(self.head["time"])

    def section(self, name: str) -> Any:
        """Return the value of a section; None if the entry has none of that name, or it was removed."""
        return self.body[name]["value"] if name in self.body else None

    def line(self) -> bytes:
        """Return it as a line of the log, without the line end."""
        return canonical({"head": self.head, "body": self.body})

    def to_json(self) -> dict[str, Any]:
        """Return the head and the values of the sections, for people and other tools."""
        head = {key: value for key, value in self.head.items() if key != "sections"}
        return {**head, "hash": self.hash, **{name: self.section(name) for name in self.head["sections"]}}


def make(before: Entry | None, event: str, run: str = "", *, sections: Mapping[str, Any] | None = None, **more: Any) -> Entry:
    """Return a new entry.

    Args:
        before: the entry before it; None for the first.
        event: what happened.
        run: name of the run folder; '' if it is about no run.
        sections: what is recorded, by section.
        more: further keys of the head, which can't be removed later.
    """
    body = {name: {"salt": secrets.token_hex(16), "value": _plain(value)} for name, value in (sections or {}).items()}
    hashes = {name: section_hash(value) for name, value in body.items()}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    chain = {"seq": before.seq + 1 if before else 1, "prev": before.hash if before else GENESIS}
    return Entry({**more, **chain, "time": now, "event": event, "run": run, "sections": hashes}, body)


def parse(line: bytes) -> Entry:
    """Return the entry of a line.

    Raises:
        ValueError: the line is not one that `Entry.line` writes.
    """
    try:
        found = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict) or set(found) != {"head", "body"} or not all(isinstance(part, dict) for part in found.values()):
        raise ValueError("not an entry")
    entry = Entry(found["head"], found["body"])
    types = {name: type(entry.head.get(name)) for name in HEAD_KEYS}
    if types != HEAD_KEYS:
        raise ValueError("its head is incomplete")
    if entry.line() != line:
        raise ValueError("not in canonical form")
    return entry


def section_hash(section: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a section with its salt."""
    return _sha256(canonical(section))


def canonical(value: Any) -> bytes:
    """Return a JSON value as bytes, the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _plain(value: Any) -> Any:
    """Return JSON values alone; numbers that JSON lacks (NaN, infinity) as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
