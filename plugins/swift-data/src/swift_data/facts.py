"""Statistics on the rows of a dataset, counted in one pass: formats, roles, turns, tools, media, system prompts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swift_data.histogram import Distribution, Spread
from swift_data.rows import PreferenceRow, RetrievalRow, Row, TaggedRow, TextRow
from swift_data.rows.conversations import Message
from swift_data.rows.forms import Form

_MOST_SYSTEMS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The numbers of rows by kind and by format (with the reason), of messages by role, of rows with tools, of media files by kind.

    `turns` is the distribution of messages per row; `systems` is the number of distinct system prompts, at most 10,000.
    """

    kinds: Mapping[str, int]
    forms: Mapping[str, int]
    turns: Spread | None
    roles: Mapping[str, int]
    with_tools: int
    media: Mapping[str, int]
    with_system: int
    systems: int


class Counting:
    """Count rows; `facts` returns the result."""

    def __init__(self) -> None:
        self._kinds, self._forms, self._roles, self._media = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
        self._turns = Distribution()
        self._tools = self._with_system = 0
        self._systems: set[bytes] = set()

    def add(self, row: Row, form: Form) -> None:
        """Count a valid row."""
        self._kinds[form.kind] += 1
        self._forms[f"{form.name}: {form.reason}"] += 1
        if isinstance(row, TextRow | TaggedRow | RetrievalRow):
            return
        messages = messages_of(row)
        self._turns.add(len(messages))
        self._tools += bool(row.tools)
        for message in messages:
            self._roles[message["role"]] += 1
            content = message["content"]
            if not isinstance(content, str):
                self._media.update(part["type"] for part in content if part["type"] != "text")
        if messages and messages[0]["role"] == "system":
            self._with_system += 1
            if len(self._systems) < _MOST_SYSTEMS:
                self._systems.add(hashlib.blake2b(repr(messages[0]["content"]).encode(), digest_size=8).digest())

    def facts(self) -> Facts:
        """Return the statistics of all rows so far."""
        return Facts(
            kinds=dict(self._kinds.most_common()),
            forms=dict(self._forms.most_common()),
            turns=self._turns.spread(),
            roles=dict(self._roles.most_common()),
            with_tools=self._tools,
            media=dict(self._media.most_common()),
            with_system=self._with_system,
            systems=len(self._systems),
        )


def messages_of(row: Row) -> Sequence[Message]:
    """Return all messages of a row; of a preference row, both answers."""
    if isinstance(row, TextRow | TaggedRow | RetrievalRow):
        return ()
    return (*row.prompt, *row.chosen, *row.rejected) if isinstance(row, PreferenceRow) else row.messages


def characters(row: Row) -> int:
    """Return the total length of a row's texts in characters, without tool calls."""
    if isinstance(row, RetrievalRow):
        return sum(map(len, (row.query, *row.documents)))
    return len(row.text) if isinstance(row, TextRow | TaggedRow) else sum(map(len, _texts(messages_of(row))))


def _texts(messages: Sequence[Message]) -> Iterator[str]:
    for message in messages:
        content: Any = message["content"]
        yield from [content] if isinstance(content, str) else (part["text"] for part in content if part["type"] == "text")
        yield message.get("reasoning_content") or ""
