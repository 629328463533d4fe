"""Named entities as labels of consecutive words or tokens (BIO, BIOES, BILOU, or plain names with O), and words of texts without any."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

OUTSIDE = "O"
_SCHEME = re.compile(r"([BIESLU])-(.+)", re.DOTALL)
STARTS, ENDS = frozenset("BSU"), frozenset("ESLU")  # prefixes of labels that begin an entity, and that end one
_CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # scripts without spaces: each character is a word
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}](?:[^\s{_CJK}]*[^\W{_CJK}])?|[^\w\s]|_")


class Entity(NamedTuple):
    """A named entity, from `start` to before `stop`."""

    start: int
    stop: int
    label: str


def parted(label: str) -> tuple[str, str]:
    """Return the prefix and the type of a label: ("B", "PER") of "B-PER", ("", "PER") of "PER", ("", "") of "O"."""
    found = _SCHEME.fullmatch(label)
    return (found[1], found[2]) if found else ("", "" if label == OUTSIDE else label)


def entities(parts: Iterable[Entity]) -> list[Entity]:
    """Join consecutive labelled parts into entities, as conlleval does: one begins at B, at another type, or after one that has ended.

    Args:
        parts: all words or tokens of a text in order, each with its label in a scheme.
    """
    found: list[Entity] = []
    before, prefix_before = "", ""
    for start, stop, label in parts:
        prefix, kind = parted(label)
        if kind and (kind != before or prefix in STARTS or prefix_before in ENDS):
            found.append(Entity(start, stop, kind))
        elif kind:
            found[-1] = found[-1]._replace(stop=stop)
        before, prefix_before = kind, prefix
    return found


def words(text: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield the places of the words in a part of a text: apart by spaces, without punctuation marks around them, which are words too."""
    for found in _WORD.finditer(text, start, len(text) if stop is None else stop):
        yield found.span()
