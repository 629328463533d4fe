"""Rows that are the same: told by 64-bit hashes of what they say, so that a million rows need tens of megabytes and no more."""

from __future__ import annotations

import hashlib
import json
from array import array
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from swift_core.roles import RawRow
from swift_core.rows import ChatRow, LabelRow, PreferenceRow, PromptRow, Row, canonical

_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str).encode
_SHOWN = 5
_ROW_BITS = 40  # of a place; the file's number is in the bits above


@dataclass(frozen=True, slots=True)
class Same:
    """How many rows are the same as another one, and the first few: each row's place, and the other's."""

    count: int
    first: tuple[tuple[str, str], ...]


class Prints:
    """The hashes of rows, in order.

    Args:
        prompts: keep a hash of each row's prompt too, that is of all but its answer.
    """

    def __init__(self, *, prompts: bool) -> None:
        self._rows, self._prompts, self._places = array("Q"), array("Q"), array("Q")
        self._files: dict[str, int] = {}
        self._with_prompts = prompts

    def add(self, row: Row, raw: RawRow) -> None:
        """Count a row in."""
        self._rows.append(_hash(canonical(row)))
        if self._with_prompts:
            self._prompts.append(_hash(_prompt(row)))
        self._places.append(self._files.setdefault(raw.file, len(self._files)) << _ROW_BITS | raw.number)

    def repeated(self) -> Same:
        """Rows that were there before."""
        several = {one for one, other in pairwise(sorted(self._rows)) if one == other}
        seen: dict[int, int] = {}
        found: list[tuple[str, str]] = []
        count = 0
        for index, value in enumerate(self._rows):
            if value not in several:
                continue
            before = seen.setdefault(value, index)
            if before != index:
                count += 1
                if len(found) < _SHOWN:
                    found.append((self._place(index), self._place(before)))
        return Same(count, tuple(found))

    def found_in(self, other: Prints) -> Same:
        """Rows of these that are among the others."""
        return self._found(self._rows, other, other._rows)

    def prompts_found_in(self, other: Prints) -> Same:
        """Rows of these that are not among the others, though their prompts are."""
        return self._found(self._prompts, other, other._prompts, without=frozenset(self._rows).intersection(other._rows))

    def _found(self, own: array[int], other: Prints, theirs: array[int], without: frozenset[int] = frozenset()) -> Same:
        wanted = frozenset(own)
        where: dict[int, int] = {}
        for index, value in enumerate(theirs):
            if value in wanted:
                where.setdefault(value, index)
        found = [index for index, value in enumerate(own) if value in where and self._rows[index] not in without]
        return Same(len(found), tuple((self._place(index), other._place(where[own[index]])) for index in found[:_SHOWN]))

    def _place(self, index: int) -> str:
        place = self._places[index]
        return f"{list(self._files)[place >> _ROW_BITS]}, row {place & ((1 << _ROW_BITS) - 1)}"


def _prompt(row: Row) -> Any:
    """All of a row but its answer."""
    if isinstance(row, PreferenceRow):
        return row.prompt, row.tools
    if isinstance(row, ChatRow) or (isinstance(row, LabelRow) and row.messages[-1]["role"] == "assistant"):
        return row.messages[:-1], row.tools
    return (row.messages, row.tools) if isinstance(row, PromptRow | LabelRow) else row.text


def _hash(value: Any) -> int:
    return int.from_bytes(hashlib.blake2b(_json(value).encode(), digest_size=8).digest())
