"""Trace a checkpoint or file back through the log: the run that made it, what that run started from, and so on to the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError
from swift_core.system import sha256
from swift_plugin_audit import facts
from swift_plugin_audit.entry import Entry
from swift_plugin_audit.log import read


@dataclass(slots=True)
class Traced:
    """A checkpoint or file in a trace. `run` and `entry` (line of the log) are of the run that made it; '' and 0 if the log has none.

    `problem` says why the content is not what was recorded.
    """

    name: str
    hash: str
    licence: str = ""
    run: str = ""
    entry: int = 0
    verb: str = ""
    time: str = ""
    who: str = ""
    data: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""
    base: list[Traced] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    def all(self) -> Iterator[Traced]:
        """Yield it, and everything that it was made from."""
        yield self
        for each in self.base:
            yield from each.all()


def trace(path: Path, log: Path) -> Traced:
    """Return how a checkpoint or file came to be, as the log records it; its files are read and hashed.

    Raises:
        UsageError: there is no such path.
        SwiftError: the log can't be read.
    """
    if not path.exists():
        raise UsageError("there is no such checkpoint or file", code="AUDIT-009", where=str(path), hint="Check the path.")
    made: dict[str, Entry] = {}
    started: dict[str, Entry] = {}
    for entry in read(log):
        if entry.head["event"] == "run-started":
            started[entry.head["run"]] = entry
        for output in entry.section("outputs") or ():
            made[output["hash"]] = entry
    recorded, problem = _content(path)
    found = _traced(str(path), recorded, made, started, frozenset())
    found.problem = problem
    return found


def _traced(name: str, value: str, made: dict[str, Entry], started: dict[str, Entry], seen: frozenset[str]) -> Traced:
    found = Traced(name, value)
    entry = made.get(value)
    if entry is None or value in seen:
        return found
    found.run, found.entry, found.time = entry.head["run"], entry.seq, entry.head["time"]
    begin = started.get(found.run)
    if begin is None:
        return found
    found.verb = (begin.section("asked") or {}).get("verb", "")
    found.who = (begin.section("who") or {}).get("user", "removed" if begin.section("who") is None else "")
    found.data = [dict(each) for each in begin.section("data") or ()]
    for source in begin.section("base") or ():
        inner = _traced(source["reference"] or source["path"], source["hash"], made, started, seen | {value})
        inner.licence = source.get("licence", "")
        found.base.append(inner)
    return found


def _content(path: Path) -> tuple[str, str]:
    """Return the recorded identity of a path, and why its content is another; '' if it is not."""
    content = facts.content_of(path)
    files = content.get("files")
    if not files:
        return content["hash"], ""
    found = {name: sha256(path / name) if (path / name).is_file() else "" for name in files}
    changed = sorted(name for name, value in files.items() if found[name] != value)
    return content["hash"], f"changed since: {', '.join(changed[:3])}" if changed else ""
