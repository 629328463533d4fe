"""A problem of a run, found before it starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A reason, found before anything heavy is imported, why a run would fail (`fatal`) or surprise."""

    where: str  # dotted option path
    message: str  # what is wrong
    hint: str = ""  # what to do
    fatal: bool = True
    code: str = ""  # stable, AREA-NNN, as a SwiftError's
