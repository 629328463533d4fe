"""JSON → rows: one array, or one object a line. Both are read as streams, so a file may be larger than memory.

An array is decoded row by row out of a buffer that holds a piece of the file. A row that is cut off by the buffer's end is tried
again after the buffer has grown; it at least doubles, so that even a huge row is tried only a few times.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from itertools import count
from typing import Any, NoReturn

from swift_core.contract.errors import UsageError
from swift_plugin_datasets.lines import beginning, checked, lines, row_error, short

_CHUNK = 1 << 20
_BLANKS = re.compile(r"[ \t\r\n]*")
# An object whose first field with a list is rows under a usual name; before it only plain values may stand.
_HOLDER = re.compile(
    rb"""\{\s*(?:"[^"\\]*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[-+.\w]+)\s*,\s*)*"""
    rb""""(?:data|rows|train|examples|instances|records|samples|items|dataset)"\s*:\s*\[\s*\{"""
)
_TOKEN = 16  # more characters than any number's end, escape or literal that the buffer's end may cut


class _Refused(Exception):
    """What the json module takes and we don't."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Refused(f"the key '{twice}' stands twice in one object", "Keep one of them.")
    return found


def _constant(name: str) -> NoReturn:
    raise _Refused(f"holds {name}, which is not JSON", "Write null, or leave the field out.")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def json_rows(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    """An array, one that an object holds ({"data": [...]}), or one object a line: what it begins with decides, whatever the suffix."""
    start = beginning(file, name)
    if start.startswith(b"["):
        return _array(file, name)
    return _held_array(file, name) if _holds_rows(start) else _json_lines(file, name)


def _holds_rows(start: bytes) -> bool:
    """Whether an object holds the rows, by the file's first bytes: not where it is one of several lines."""
    if not _HOLDER.match(start):
        return False
    line, _, rest = start.partition(b"\n")
    try:
        return not (rest.strip() and json.loads(line))
    except ValueError:
        return True


def _json_lines(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    for number, line in lines(file, name):
        yield number, line if isinstance(line, UsageError) else _decoded(line, name, number)


def _decoded(line: str, name: str, number: int) -> Any:
    try:
        data = _DECODER.decode(line)
    except _Refused as error:
        return row_error(error.message, name, number, error.hint)
    except (ValueError, RecursionError) as error:
        hint = f"It reads: {short(line)}"
        if line.strip() in ("{", "["):
            hint = "Write one object a line, or put the objects into one array: [{…}, {…}]."
        column = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        return row_error(f"not JSON: {_reason(error)}{column}", name, number, hint)
    return _checked(data, line, name, number)


def _held_array(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    """The rows of the one list of objects that an object holds; what else it holds must not be rows."""
    buffer = _Buffer(file, name)
    buffer.next()
    buffer.at += 1  # the opening brace
    found = ""
    while (mark := buffer.next()) != "}":
        if mark == ",":
            buffer.at += 1
            continue
        key = buffer.value(1)
        if not isinstance(key, str) or buffer.next() != ":":
            raise buffer.error("a name and ':' must follow", 1, buffer.at)
        buffer.at += 1
        if buffer.next() != "[":
            buffer.value(1)  # a version and the like
        elif found:
            hint = f"Put the rows of '{key}' into a file of their own."
            raise UsageError(f"the object holds two lists: '{found}' and '{key}'", where=name, hint=hint)
        else:
            found = key
            yield from _elements(buffer)
    buffer.at += 1
    if buffer.next():
        hint = f"Write one object a line, or put all rows into one array. It reads: {short(buffer.text[buffer.at :])}"
        raise UsageError("more follows the end of the object", where=f"{name}, line {buffer.line(buffer.at)}", hint=hint)


def _elements(buffer: _Buffer) -> Iterator[tuple[int, Any]]:
    """The values of the array that begins here, through its closing bracket."""
    buffer.at += 1
    if buffer.next() != "]":
        for number in count(1):
            yield number, buffer.value(number)
            mark = buffer.next()
            if mark == "]":
                break
            if mark != ",":
                raise buffer.error("',' or ']' must follow the row" if mark else "the file ends before the array", number, buffer.at)
            buffer.at += 1
    buffer.at += 1


def _array(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    buffer = _Buffer(file, name)
    buffer.next()
    yield from _elements(buffer)
    if buffer.next():
        hint = f"Put all rows into one array, or write one object a line. It reads: {short(buffer.text[buffer.at :])}"
        raise UsageError("more follows the end of the array", where=f"{name}, line {buffer.line(buffer.at)}", hint=hint)


class _Buffer:
    """A piece of the file's text; `at` is where reading goes on in it."""

    def __init__(self, file: io.BufferedReader, name: str) -> None:
        self.text, self.at = "", 0
        self._file, self._name = file, name
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._line = 1  # where the buffer begins
        self._ended = False

    def next(self) -> str:
        """The next character that is not blank, not taken yet; empty at the end of the file."""
        while True:
            self.at = _BLANKS.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches nothing too
            if self.at < len(self.text) or self._ended:
                return self.text[self.at : self.at + 1]
            self._grow()

    def value(self, number: int) -> Any:
        """The JSON value that comes next, row `number`."""
        self.next()
        while True:
            try:
                data, end = _DECODER.raw_decode(self.text, self.at)
                if self._ended or isinstance(data, dict | list | str) or end + _TOKEN < len(self.text):
                    break  # of a number, more digits may follow
            except _Refused as error:
                raise row_error(error.message, self._name, number, error.hint) from None
            except json.JSONDecodeError as error:
                cut = error.pos + _TOKEN >= len(self.text) or error.msg.startswith("Unterminated string")
                if self._ended or not cut:
                    raise self.error(_reason(error), number, error.pos) from None
            except (ValueError, RecursionError) as error:
                raise self.error(_reason(error), number, self.at) from None
            self._grow()
        data = _checked(data, self.text[self.at : end], self._name, number)
        self.at = end
        return data

    def error(self, reason: str, number: int, position: int) -> UsageError:
        """What is wrong at a position in the buffer."""
        near = self.text[max(self.at, position - 30) : position + 30]
        where = f"{self._name}, row {number}, line {self.line(position)}"
        return UsageError(f"not a JSON array: {reason}", where=where, hint=f"Near: {short(near)}" if near else "Was it written to the end?")

    def line(self, position: int) -> int:
        """The file's line at a position in the buffer."""
        return self._line + self.text.count("\n", 0, position)

    def _grow(self) -> None:
        """Forget what was taken, and read as much again as is left, but not too little."""
        self._line, self.text, self.at = self.line(self.at), self.text[self.at :], 0
        raw = self._file.read(max(_CHUNK, len(self.text)))
        self._ended = not raw
        try:
            self.text += self._decoder.decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            line = self.line(len(self.text)) + error.object.count(b"\n", 0, error.start)
            raise UsageError("not UTF-8", where=f"{self._name}, line {line}", hint="Save the file as UTF-8.") from None


def _checked(data: Any, raw: str, name: str, number: int) -> Any:
    """The row, or its error: it is searched for characters that no tokenizer can take where it has an escape that can make them."""
    return checked(data, name, number) if "\\u0000" in raw or "\\ud" in raw or "\\uD" in raw else data


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "nested too deeply" if isinstance(error, RecursionError) else str(error).partition(";")[0]
