"""Errors for users: what happened, where, and what to do next.

A `SwiftError` is printed without a traceback. Anything else that reaches the command line is a fault of ours or of a plugin
and keeps its traceback. Exit codes: 2 for a user's mistake, 1 for a run that failed, 130 for a run that was stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self, TypedDict


class ErrorRecord(TypedDict):
    """An error as JSON values: the name of its class, its parts, and the exit code of the process."""

    type: str
    code: str
    message: str
    hint: str
    where: str
    exit_code: int


class SwiftError(Exception):
    """A run that failed for a known reason.

    Args:
        message: what happened, one sentence.
        code: the error's stable code, AREA-NNN, shown as SWIFT-AREA-NNN: docs/reference/error-codes.md lists those of this repository.
        hint: what to do next.
        where: file, row, or dotted option path the message is about.
    """

    exit_code = 1

    def __init__(self, message: str, *, code: str = "", hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        text = (f"{self.where}: {self.message}" if self.where else self.message) + self.label
        return f"{text}\n  {self.hint}" if self.hint else text

    @property
    def label(self) -> str:
        """Return the code as shown after a message, ` [SWIFT-DATA-012]`; '' if there is none."""
        return f" [SWIFT-{self.code}]" if self.code else ""

    def to_json(self) -> ErrorRecord:
        """Return the error as JSON values, as events and `--json` have it."""
        return {
            "type": type(self).__name__,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "where": self.where,
            "exit_code": self.exit_code,
        }

    def with_context(self, *, message: str | None = None, hint: str | None = None, where: str | None = None) -> Self:
        """Return a copy of the error, of the same type, with these parts replaced."""
        copied = type(self).__new__(type(self), *self.args)
        copied.__dict__.update(self.__dict__)
        given = {"message": message, "hint": hint, "where": where}
        copied.__dict__.update({name: value for name, value in given.items() if value is not None})
        copied.__cause__ = self.__cause__
        return copied.with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.code, self.hint, self.where))


class UsageError(SwiftError):
    """A user's mistake: an invalid option, name or file."""

    exit_code = 2


class Problems(UsageError):
    """Several problems, reported together."""

    def __init__(self, errors: list[SwiftError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors

    @staticmethod
    def raise_any(errors: list[SwiftError]) -> None:
        """Raise the only error, or all of them as one; do nothing if there are none."""
        if errors:
            raise errors[0] if len(errors) == 1 else Problems(errors)


class DiskFull(SwiftError):
    """The disk is full; no partial file was left."""


class NotWritable(UsageError):
    """A path can't be written: no permission, a read-only or failing disk, or an invalid name."""


class PeerFailed(SwiftError):
    """Another process of the run failed or was killed. This error is only a consequence, so the other's is reported instead."""


class Stopped(SwiftError):
    """The run was stopped on request; its state is saved."""

    exit_code = 130


def _rebuild(kind: type[SwiftError], message: str, code: str, hint: str, where: str) -> SwiftError:
    return kind(message, code=code, hint=hint, where=where)


def suggestion(name: str, known: Iterable[str]) -> str:
    """'Did you mean 'x'?' for a misspelling of a known name: one edit for every four letters, or mostly equal; else an empty string."""
    from difflib import SequenceMatcher

    folded = {candidate.lower().replace("-", "_"): candidate for candidate in sorted(set(known))}
    given = name.lower().replace("-", "_")
    alike = {candidate: SequenceMatcher(None, given, candidate).ratio() for candidate in folded}
    ranked = ((_edits(given, candidate), sorted(given) != sorted(candidate), -alike[candidate], candidate) for candidate in folded)
    edits, _, _, close = min(ranked, default=(1_000, True, 0.0, ""))
    near = edits <= max(1, len(given) // 4) or alike.get(close, 0.0) >= 0.75
    return f"Did you mean '{folded[close]}'?" if near else ""


def _edits(a: str, b: str) -> int:
    """Number of letters inserted, left out, replaced or swapped with their neighbour that turn `a` into `b`."""
    if abs(len(a) - len(b)) > len(a) // 4 + 1:
        return len(a) + len(b)
    rows = [list(range(len(b) + 1))]
    for i, letter in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != other)))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                row[-1] = min(row[-1], rows[-2][j - 2] + 1)
        rows.append(row)
    return rows[-1][-1]
