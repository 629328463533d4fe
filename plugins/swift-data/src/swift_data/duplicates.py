"""Duplicate rows, found by 64-bit hashes of their canonical form; a million rows need tens of megabytes."""

from __future__ import annotations

import hashlib
import json
from array import array
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from swift_core.contract import RawRow
from swift_data.rows import ChatRow, LabelRow, PreferenceRow, PromptRow, RetrievalRow, Row, canonical

_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str).encode
_SHOWN = 5
_ROW_BITS = 40  # bits of the row number in a place; the file's number is in the bits above


@dataclass(frozen=True, slots=True)
class Same:
    """The number of rows that equal another row, and the first few: the place of each, and of the other."""

    count: int
    first: tuple[tuple[str, str], ...]


class Prints:
    """The hashes of rows, in order.

    Args:
        prompts: also keep a hash of each row's prompt, that is of the row without its answer.
    """

    def __init__(self, *, prompts: bool) -> None:
        self._rows, self._prompts, self._places = array("Q"), array("Q"), array("Q")
        self._files: dict[str, int] = {}
        self._with_prompts = prompts

    def add(self, row: Row, raw: RawRow) -> None:
        """Add the hashes of a row."""
        self._rows.append(_hash(canonical(row)))
        if self._with_prompts:
            self._prompts.append(_hash(_prompt(row)))
        self._places.append(self._files.setdefault(raw.file, len(self._files)) << _ROW_BITS | raw.number)

    def repeated(self) -> Same:
        """Return the rows that equal an earlier row."""
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
        """Return the rows that are also in `other`."""
        return self._found(self._rows, other, other._rows)

    def prompts_found_in(self, other: Prints) -> Same:
        """Return the rows that are not in `other`, but whose prompts are."""
        return self._found(self._prompts, other, other._prompts, without=frozenset(self._rows).intersection(other._rows))

    def _found(self, own: array[int], other: Prints, theirs: array[int], without: frozenset[int] = frozenset()) -> Same:
        known = frozenset(own)
        where: dict[int, int] = {}
        for index, value in enumerate(theirs):
            if value in known:
                where.setdefault(value, index)
        found = [index for index, value in enumerate(own) if value in where and self._rows[index] not in without]
        return Same(len(found), tuple((self._place(index), other._place(where[own[index]])) for index in found[:_SHOWN]))

    def _place(self, index: int) -> str:
        place = self._places[index]
        return f"{list(self._files)[place >> _ROW_BITS]}, row {place & ((1 << _ROW_BITS) - 1)}"


def _prompt(row: Row) -> Any:
    """Return a row without its answer."""
    if isinstance(row, RetrievalRow):
        return row.query
    if isinstance(row, PreferenceRow):
        return row.prompt, row.tools
    if isinstance(row, ChatRow) or (isinstance(row, LabelRow) and row.messages[-1]["role"] == "assistant"):
        return row.messages[:-1], row.tools
    return (row.messages, row.tools) if isinstance(row, PromptRow | LabelRow) else row.text


def _hash(value: Any) -> int:
    return int.from_bytes(hashlib.blake2b(_json(value).encode(), digest_size=8).digest())
