"""Which fields of conversations are lost: neither a reader of rows nor the chat template reads them.

The template decides by renderings: a field that makes a difference in one of the first rows that have it is read.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from swift_core.data.unread import Unread
from swift_core.errors import UsageError
from swift_core.rows import ChatRow
from swift_core.rows.variables import NAMES
from swift_train.template import ChatTemplate

_TRIES = 16  # rows that a field is looked for in


class UnreadFields:
    """Counts the fields of rows that pass."""

    def __init__(self, template: ChatTemplate) -> None:
        self._template = template
        self._tried, self._read = Counter[str](), set[str]()
        self._found = Unread()

    def add(self, row: ChatRow) -> None:
        """Count a row in."""
        paths = [*row.unread, *(f"{NAMES[0]}.{name}" for name in row.variables)]
        for path in paths:
            if path not in self._read and self._tried[path] < _TRIES:
                self._tried[path] += 1
                if self._makes_a_difference(row, path):
                    self._read.add(path)
        self._found.add(paths)

    def take(self) -> Unread:
        """What was counted since it was last taken."""
        found, self._found = self._found, Unread()
        for path in self._read:
            found.counts.pop(path, None)
        return found

    def _makes_a_difference(self, row: ChatRow, path: str) -> bool:
        without = _without(row, path)
        try:
            return without is not None and self._rendered(row) != self._rendered(without)
        except UsageError:  # of the whole row, which is told where it is encoded
            return False

    def _rendered(self, row: ChatRow) -> tuple[str, str]:
        template = self._template.of(row)
        last = len(row.messages) - (row.messages[-1]["role"] == "assistant")
        return template.render(row.messages, row.tools), template.render(row.messages[:last], row.tools, prompt=True)


def _without(row: ChatRow, path: str) -> ChatRow | None:
    """The row without a field that was handed on to the template; None if it was not."""
    start, _, name = path.rpartition(".")
    if start == NAMES[0]:
        return replace(row, variables={key: value for key, value in row.variables.items() if key != name})
    if start.count("[]") != 1 or not any(name in message for message in row.messages):
        return None
    messages = tuple({key: value for key, value in message.items() if key != name} for message in row.messages)
    return replace(row, messages=messages)
