"""Count unused fields of conversations, read neither by the row reader nor by the chat template, and control tokens in texts.

Whether the template reads a field is determined by rendering: it does if removing the field changes one of the first rows that have it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from swift_data.rows import ChatRow
from swift_data.rows.variables import NAMES
from swift_data.unread import Unread

from swift_core.contract import UsageError
from swift_train.chat_template import ChatTemplate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TRIES = 16  # rows in which a field's effect is tested


class UnreadFields:
    """Count the unused fields and control tokens of chat rows."""

    def __init__(self, template: ChatTemplate) -> None:
        self._template, self._control = template, ControlTokens(template.tokenizer)
        self._tried, self._read = Counter[str](), set[str]()
        self._found = Unread()

    def add(self, row: ChatRow) -> None:
        """Add a row to the counts."""
        paths = [*row.unread, *(f"{NAMES[0]}.{name}" for name in row.variables)]
        for path in paths:
            if path not in self._read and self._tried[path] < _TRIES:
                self._tried[path] += 1
                if self._affects_rendering(row, path):
                    self._read.add(path)
        self._found.add(paths, self._control.of(_texts(row)))

    def take(self) -> Unread:
        """Return the counts since the last call, and reset them."""
        found = self._found.take()
        for path in self._read:
            found.counts.pop(path, None)
        return found

    def _affects_rendering(self, row: ChatRow, path: str) -> bool:
        without = _without(row, path)
        try:
            return without is not None and self._rendered(row) != self._rendered(without)
        except UsageError:  # the row can't be rendered; reported when it is encoded
            return False

    def _rendered(self, row: ChatRow) -> tuple[str, str]:
        template = self._template.for_row(row)
        last = len(row.messages) - (row.messages[-1]["role"] == "assistant")
        return template.render(row.messages, row.tools), template.render(row.messages[:last], row.tools, prompt=True)


class ControlTokens:
    """Find a tokenizer's special tokens in texts: the tokenizer encodes them as control tokens, whoever wrote them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special and token.content}
        self._pattern = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or "(?!)")

    def of(self, texts: Iterable[str]) -> set[str]:
        """Return the special tokens that occur in any of the texts."""
        return {token for text in texts for token in self._pattern.findall(text)}


def _texts(row: ChatRow) -> Iterator[str]:
    for message in row.messages:
        content = message["content"]
        yield from [content] if isinstance(content, str) else (part["text"] for part in content if part.get("type") == "text")
        yield str(message.get("reasoning_content") or "")


def _without(row: ChatRow, path: str) -> ChatRow | None:
    """Return the row without a field that is passed on to the template; None if it is not."""
    start, _, name = path.rpartition(".")
    if start == NAMES[0]:
        return replace(row, variables={key: value for key, value in row.variables.items() if key != name})
    if start.count("[]") != 1 or not any(name in message for message in row.messages):
        return None
    messages = tuple({key: value for key, value in message.items() if key != name} for message in row.messages)
    return replace(row, messages=messages)
