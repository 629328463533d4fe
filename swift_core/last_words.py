"""Why an engine ended, in its own words: what its log says at the end.

Our own servers say it as a line of JSON. Others end in Python's tracebacks, often two: what went wrong in the engine, and that the
server could not go on without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

LINES = 200  # of the end of the log that are read
LONGEST = 400
_RAISED = re.compile(r"(?:^|\s)((?:\w+\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt): \S.*)")


def last_words(log: Path) -> str:
    """One or two sentences for a hint."""
    lines: list[str] = []
    with suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-LINES:]
    if not lines:
        return "The log is empty."
    for line in reversed(lines[-20:]):
        with suppress(ValueError, TypeError, KeyError):
            said = json.loads(line)
            return f"{said['message']}. {said.get('hint', '')}".strip()
    raised = [_whole(match[1], lines[number + 1 :]) for number, line in enumerate(lines) if (match := _RAISED.search(line))]
    words = list(dict.fromkeys([raised[0], raised[-1]])) if raised else [lines[-1].strip()]
    return f"Its last words: {' … '.join(word[:LONGEST] for word in words)}"


def _whole(first: str, rest: Sequence[str]) -> str:
    """An exception's text with the lines that belong to it: they are indented, and no part of a traceback."""
    text = [first.strip()]
    for line in rest[:2]:
        if not line.startswith(" ") or line.lstrip().startswith("File "):
            break
        text.append(line.strip())
    return " ".join(text)
