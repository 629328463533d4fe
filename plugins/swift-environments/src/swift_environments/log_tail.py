"""Extract the fatal error from the end of an engine's log.

First-party servers write it as a line of JSON. Others end in Python tracebacks, often two: the error in the engine, and the failure of
the server that depends on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

LINES = 200  # lines read from the end of the log
LONGEST = 400  # maximum characters shown of one error
_RAISED = re.compile(r"(?:^|\s)((?:\w+\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt): \S.*)")


def last_error_in(log: Path) -> str:
    """Return the last error in the log as one or two sentences for a hint."""
    lines: list[str] = []
    with suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-LINES:]
    if not lines:
        return "The log is empty."
    for line in reversed(lines[-20:]):
        with suppress(ValueError, TypeError, KeyError):
            error = json.loads(line)
            return f"{error['message']}. {error.get('hint', '')}".strip()
    raised = [_joined(match[1], lines[number + 1 :]) for number, line in enumerate(lines) if (match := _RAISED.search(line))]
    if not raised:
        return f"Last line in the log: {lines[-1].strip()[:LONGEST]}"
    return f"Last error in the log: {' … '.join(text[:LONGEST] for text in dict.fromkeys([raised[0], raised[-1]]))}"


def _joined(first: str, rest: Sequence[str]) -> str:
    """Return the text of an exception with its continuation lines, which are indented and not part of a traceback."""
    text = [first.strip()]
    for line in rest[:2]:
        if not line.startswith(" ") or line.lstrip().startswith("File "):
            break
        text.append(line.strip())
    return " ".join(text)
