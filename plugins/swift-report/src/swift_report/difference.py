"""Differences between two texts, word by word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from markupsafe import Markup

from swift_report.parts import joined

Operation = tuple[str, int, int, int, int]  # kind, and where it is in the old and in the new words
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_LONG = 4000  # words; longer texts are compared by lines
_ALIKE = 0.3  # of the words; below that, marks would cover everything


def marked(before: str, after: str) -> Markup:
    """Return `after` with inserted words marked, and words of `before` that it lacks struck out; unmarked if they have little in common."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if max(len(old), len(new)) > _LONG:
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return Markup.escape(after)
    pieces = []
    for kind, start, stop, first, last in _merged(matcher.get_opcodes(), new):
        if kind == "equal":
            pieces.append(Markup.escape("".join(new[first:last])))
            continue
        if stop > start:
            pieces.append(Markup("<del>{}</del>").format("".join(old[start:stop])))
        if last > first:
            pieces.append(Markup("<ins>{}</ins>").format("".join(new[first:last])))
    return joined(pieces)


def _merged(operations: Sequence[Operation], new: Sequence[str]) -> list[Operation]:
    """Return the operations with changes merged that only white space separates: several words in a row are one change."""
    found: list[Operation] = []
    for number, (kind, start, stop, first, last) in enumerate(operations):
        between = 0 < number < len(operations) - 1 and not "".join(new[first:last]).strip()
        changed = kind != "equal" or between
        if changed and found and found[-1][0] != "equal":
            found[-1] = ("replace", found[-1][1], stop, found[-1][3], last)
        else:
            found.append(("replace" if changed else "equal", start, stop, first, last))
    return found
