"""Overlap of rows with questions of an evaluation: word sequences that both have.

A question overlaps with a row if they share 13 words in succession, as in T. Brown et al. (2020, arXiv:2005.14165); a shorter one if the
row contains it as a whole. Chinese, Japanese and Korean are compared by character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from swift_core.plugins import registry
from swift_data.choices import choose_dataset, fetch_dataset
from swift_data.reading import raw_rows

WORDS = 13  # length of the word sequences that are compared
SHORTEST = 8  # words of the shortest question that is looked for
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")
KeyT = TypeVar("KeyT")


class Questions(Generic[KeyT]):
    """Questions that rows are compared with; `count` is the number of those that are long enough."""

    def __init__(self, questions: Iterable[tuple[KeyT, str]]) -> None:
        self._index: dict[tuple[str, ...], dict[tuple[str, ...], set[KeyT]]] = {}  # first words -> word sequence -> questions
        self.count = 0
        for name, text in questions:
            found = words(text)
            if len(found) < SHORTEST:
                continue
            self.count += 1
            length = min(WORDS, len(found))
            for start in range(len(found) - length + 1):
                gram = found[start : start + length]
                self._index.setdefault(gram[:SHORTEST], {}).setdefault(gram, set()).add(name)

    def found_in(self, row: Any) -> set[KeyT]:
        """Return the questions that overlap with a text of a row."""
        return {name for text in all_texts(row) for name in self._matches(words(text))}

    def _matches(self, found: tuple[str, ...]) -> Iterator[KeyT]:
        for start in range(len(found) - SHORTEST + 1):
            for gram, names in self._index.get(found[start : start + SHORTEST], {}).items():
                if found[start : start + len(gram)] == gram:
                    yield from names


def questions_of(asked: Iterable[Any], hub: str = "") -> Questions[str]:
    """Return the texts of evaluation data, each named by its row.

    Args:
        asked: data sets, as `--dataset` takes them.
        hub: the hub of a bare `org/name`.

    Raises:
        SwiftError: one does not exist or can't be read.
    """
    choices = [fetch_dataset(choose_dataset(registry(), each, {}, "--against", hub=hub)) for each in asked]
    return Questions(
        (f"{row.file}, row {row.number}", text) for choice in choices for row in raw_rows(choice) for text in all_texts(row.data)
    )


def all_texts(value: Any) -> Iterator[str]:
    """Yield every text in a row."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from all_texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from all_texts(each)


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text in lower case; of Chinese, Japanese and Korean the characters."""
    return tuple(_WORD.findall(text.casefold()))
