"""Check a log against itself, against its signed heads, and against the copies in run folders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from swift_plugin_audit import entry as entries, heads
from swift_plugin_audit.entry import GENESIS, Entry
from swift_plugin_audit.heads import Head
from swift_plugin_audit.log import BEGIN, identity, lines
from swift_plugin_audit.places import Places
from swift_plugin_audit.prune import TOMBSTONE


@dataclass(slots=True)
class Verdict:
    """The result of a verification. `problems` are reasons not to trust the log, `line` is the first bad line (0: none or not known).

    `signed` is the number of entries that the last valid head vouches for; `open` are runs without an end, `removed` the number of
    removed sections, `notes` what a reader should know and what is no problem.
    """

    entries: int = 0
    line: int = 0
    problems: list[str] = field(default_factory=list)
    signed: int = 0
    heads: int = 0
    open: list[str] = field(default_factory=list)
    removed: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """True if nothing speaks against the log."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"holds": self.holds, **asdict(self)}


def verify(places: Places, *, public: Path | None = None, runs: Path | None = None) -> Verdict:
    """Verify a log.

    Args:
        places: the log and its heads.
        public: the public key that must have signed the heads; default: the one beside the user's private key.
        runs: a folder with run folders, whose signed heads and tombstones are compared too.

    Raises:
        SwiftError: there is no log, or no public key.
    """
    found = Verdict()
    chain = _Chain(found)
    for number, line in lines(places.log):
        if not chain.add(number, line):
            break
    chain.end()
    if found.line:
        return found
    if not chain.hashes:
        found.problems.append("the log is empty")
        return found
    if places.log.stat().st_size and not places.log.read_bytes().endswith(b"\n"):
        found.notes.append("the last line is torn: a process was killed while it wrote it; the next run removes and records it")
    key = heads.public_key(public or places.public)
    signed = _read_heads(places.heads, found)
    _check_heads(signed, [head for head in signed if heads.is_signed(head, key)], chain, found)
    for folder, head in _copies(runs) if runs else ():
        if head.log == chain.log and heads.is_signed(head, key) and (reason := chain.contradicts(head)):
            found.problems.append(f"{folder}: {reason}")
    for file, tombstone in _tombstones(runs) if runs else ():
        if tombstone.get("log") == chain.log and chain.hashes[: tombstone["count"]][-1:] != [tombstone["hash"]]:
            found.problems.append(f"{file}: the log has no such entry")
    return found


class _Chain:
    """The chain of a log, line by line."""

    def __init__(self, verdict: Verdict) -> None:
        self.log = ""
        self.hashes: list[str] = []  # of the entries
        self._verdict = verdict
        self._absent: dict[tuple[int, str], int] = {}  # (entry, section) → its line
        self._redacted: set[tuple[int, str]] = set()
        self._running: dict[str, None] = {}

    def add(self, number: int, line: bytes) -> bool:
        """Check a line and return whether it holds."""
        try:
            entry = entries.parse(line)
            if number == 1:
                self.log = identity(line)
                self._begin(entry)
        except ValueError as error:
            return self._bad(number, f"line {number} is damaged: {error}")
        if entry.head["seq"] != number:
            return self._bad(number, f"line {number} is entry {entry.head['seq']}: lines were removed, inserted or moved")
        if entry.head["prev"] != (self.hashes[-1] if self.hashes else GENESIS):
            return self._bad(number, f"line {number} does not follow line {number - 1}: one of them was changed or replaced")
        if number > 1 and entry.head["event"] == BEGIN:
            return self._bad(number, f"line {number} begins another log")
        if wrong := next((name for name, text in _sections(entry) if text), ""):
            return self._bad(number, f"line {number}: the section '{wrong}' was changed")
        self._absent |= {(number, name): number for name in entry.head["sections"] if name not in entry.body}
        self._redacted |= {(seq, name) for seq, names in _redaction(entry) for name in names}
        self.hashes.append(entry.hash)
        self._verdict.entries = number
        self._follow(entry)
        return True

    def end(self) -> None:
        """Check, after the last line, that every absent section was redacted."""
        self._verdict.open = list(self._running)
        self._verdict.removed = len(self._absent)
        missing = sorted(line for key, line in self._absent.items() if key not in self._redacted)
        if missing and not self._verdict.line:
            self._bad(missing[0], f"line {missing[0]}: a section was removed, and no entry says so")

    def contradicts(self, head: Head) -> str:
        """Return why the log can't be the one that a head was signed for; '' if it can."""
        if head.count > len(self.hashes):
            return f"the end was cut off: {head.count} entries were signed on {head.time}, and the log has {len(self.hashes)}"
        if self.hashes[head.count - 1] != head.hash:
            return f"line {head.count} is not the one that was signed on {head.time}"
        return ""

    def _begin(self, first: Entry) -> None:
        if before := first.head.get("after"):
            text = f"the log {before['log'][:8]} with {before['count']} entries came before this one; it must be kept and verified too"
            self._verdict.notes.append(text)

    def _follow(self, entry: Entry) -> None:
        if unsigned := entry.head.get("unsigned"):
            text = f"when line {entry.seq} was written, {unsigned['signed']} of {unsigned['found']} entries were signed: "
            self._verdict.notes.append(text + "the heads were lost, a process was killed between, or someone else added entries")
        run, event = str(entry.head["run"]), str(entry.head["event"])
        if event == "run-started":
            self._running[run] = None
        elif event.startswith("run-"):
            self._running.pop(run, None)

    def _bad(self, number: int, reason: str) -> bool:
        self._verdict.line = self._verdict.line or number
        self._verdict.problems.append(reason)
        return False


def _sections(entry: Entry) -> Iterator[tuple[str, bool]]:
    """Yield the sections that a line has, each with whether it is not the one of the head."""
    for name, value in entry.body.items():
        yield name, entries.section_hash(value) != entry.head["sections"].get(name)


def _redaction(entry: Entry) -> Iterable[tuple[int, list[str]]]:
    found: Mapping[str, list[str]] = entry.head.get("redacted", {})
    return ((int(seq), list(names)) for seq, names in found.items())


def _read_heads(path: Path, found: Verdict) -> list[Head]:
    signed = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.is_file() else (), 1):
        try:
            signed.append(heads.parse(json.loads(line)))
        except (ValueError, TypeError):
            found.problems.append(f"{path}:{number}: not a signed head")
    return signed


def _check_heads(signed: list[Head], valid: list[Head], chain: _Chain, found: Verdict) -> None:
    found.heads = len(signed)
    if len(valid) < len(signed):
        found.problems.append(f"{len(signed) - len(valid)} of {len(signed)} heads are not signed by this key")
    if not valid:
        found.problems.append("no signed head is kept, so that a cut end would not be seen")
        return
    if valid[-1].log != chain.log:
        found.problems.append(f"the heads are of the log {valid[-1].log[:8]}, and this is {chain.log[:8]}: the log was replaced")
        return
    for head in (head for head in valid if head.log == chain.log):
        if reason := chain.contradicts(head):
            found.problems.append(reason)
            if head.count <= len(chain.hashes):
                found.line = found.signed + 1
                found.problems.append(f"the lines {found.signed + 1} to {head.count} were rewritten")
            return
        found.signed = max(found.signed, head.count)
    if behind := len(chain.hashes) - found.signed:
        found.problems.append(f"the last {behind} entries are not signed")


def _copies(runs: Path) -> Iterator[tuple[Path, Head]]:
    for file in sorted(runs.glob("**/audit.json")):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            yield file, heads.parse({key: value for key, value in record.items() if key != "schema"})
        except (OSError, ValueError, TypeError, AttributeError):
            continue


def _tombstones(runs: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for file in sorted(runs.glob(f"**/{TOMBSTONE}")):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))["entry"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        yield file, record
