"""Read rows of JSON files: one array, or one object per line. Both are streamed, so a file may be larger than memory.

An array is decoded row by row from a buffer that holds part of the file. If the buffer ends inside a row, decoding is retried after the
buffer has grown; it at least doubles each time, so that even a huge row is retried only a few times.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

from swift_core.contract import UsageError
from swift_plugin_datasets.lines import checked_row, lines, peek_start, row_error, shortened

_CHUNK = 1 << 20
_BLANKS = re.compile(r"[ \t\r\n]*")
# An object whose first list-valued field holds rows under a common name; only scalar fields may precede it.
_WRAPPED_ARRAY = re.compile(
    rb"""\{\s*(?:"[^"\\]*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[-+.\w]+)\s*,\s*)*"""
    rb""""(?:data|rows|train|examples|instances|records|samples|items|dataset)"\s*:\s*\[\s*\{"""
)
_TOKEN = 16  # longer than any tail of a number, escape or literal that the end of the buffer may cut


class _Invalid(Exception):
    """JSON that the json module accepts and this reader refuses."""

    def __init__(self, message: str, hint: str, *, code: str = "") -> None:
        super().__init__(message)
        self.message, self.hint, self.code = message, hint, code


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        duplicate = next(key for key in keys if keys.count(key) > 1)
        raise _Invalid(f"duplicate key '{duplicate}' in one object", "Keep one of them.", code="DATA-130")
    return found


def _constant(name: str) -> NoReturn:
    raise _Invalid(f"contains {name}, which is not valid JSON", "Write null, or omit the field.", code="DATA-131")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def json_rows(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    """Yield (row number, row) of an array, an array inside an object ({"data": [...]}), or one object per line.

    The first bytes of the file decide which it is, not the suffix.
    """
    start = peek_start(file, name)
    if start.startswith(b"["):
        return _array(file, name)
    return _wrapped_array(file, name) if _is_wrapped_array(start) else json_line_rows(file, name)


def is_json_lines(path: Path) -> bool:
    """Return True if a file has one object per line.

    Raises:
        UsageError: the file is encoded in UTF-16.
    """
    with path.open("rb") as file:
        start = peek_start(file, str(path))
    return not (start.startswith(b"[") or _is_wrapped_array(start))


def _is_wrapped_array(start: bytes) -> bool:
    """Return True if the file's first bytes start one object that contains the rows, and not the first of several lines."""
    if not _WRAPPED_ARRAY.match(start):
        return False
    line, _, rest = start.partition(b"\n")
    try:
        return not (rest.strip() and json.loads(line))
    except ValueError:
        return True


def json_line_rows(file: Iterable[bytes], name: str, *, before: int = 0) -> Iterator[tuple[int, Any]]:
    """Yield (line number, row) of lines with one object each; `before` lines are ahead of the first one."""
    for number, line in lines(file, name, before=before):
        yield number, line if isinstance(line, UsageError) else _decoded(line, name, number)


def _decoded(line: str, name: str, number: int) -> Any:
    try:
        data = _DECODER.decode(line)
    except _Invalid as error:
        return row_error(error.message, name, number, error.hint, code=error.code)
    except (ValueError, RecursionError) as error:
        hint = f"The line is: {shortened(line)}"
        if line.strip() in ("{", "["):
            hint = "Write one object per line, or put the objects into one array: [{…}, {…}]."
        column = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        return row_error(f"not JSON: {_reason(error)}{column}", name, number, hint, code="DATA-132")
    return _checked(data, line, name, number)


def _wrapped_array(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    """Yield the rows of the one list in an object; its other fields must not be lists."""
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
            raise buffer.error("expected a key and ':'", 1, buffer.at)
        buffer.at += 1
        if buffer.next() != "[":
            buffer.value(1)  # metadata such as a version
        elif found:
            hint = f"Put the rows of '{key}' into a separate file."
            raise UsageError(f"the object contains two lists: '{found}' and '{key}'", code="DATA-133", where=name, hint=hint)
        else:
            found = key
            yield from _elements(buffer)
    buffer.at += 1
    if buffer.next():
        hint = f"Write one object per line, or put all rows into one array. Found: {shortened(buffer.text[buffer.at :])}"
        raise UsageError(
            "extra data after the end of the object", code="DATA-134", where=f"{name}, line {buffer.line(buffer.at)}", hint=hint
        )


def _elements(buffer: _Buffer) -> Iterator[tuple[int, Any]]:
    """Yield (row number, value) of the array that starts here, and consume its closing bracket."""
    buffer.at += 1
    if buffer.next() != "]":
        for number in count(1):
            yield number, buffer.value(number)
            mark = buffer.next()
            if mark == "]":
                break
            if mark != ",":
                raise buffer.error("expected ',' or ']' after the row" if mark else "the file ends inside the array", number, buffer.at)
            buffer.at += 1
    buffer.at += 1


def _array(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    buffer = _Buffer(file, name)
    buffer.next()
    yield from _elements(buffer)
    if buffer.next():
        hint = f"Put all rows into one array, or write one object per line. Found: {shortened(buffer.text[buffer.at :])}"
        raise UsageError(
            "extra data after the end of the array", code="DATA-135", where=f"{name}, line {buffer.line(buffer.at)}", hint=hint
        )


class _Buffer:
    """A sliding window over the file's text; `at` is the read position in `text`."""

    def __init__(self, file: io.BufferedReader, name: str) -> None:
        self.text, self.at = "", 0
        self._file, self._name = file, name
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._line = 1  # the file's line at which the buffer starts
        self._ended = False

    def next(self) -> str:
        """Skip blanks and return the next character without consuming it; empty at the end of the file."""
        while True:
            self.at = _BLANKS.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches an empty string too
            if self.at < len(self.text) or self._ended:
                return self.text[self.at : self.at + 1]
            self._grow()

    def value(self, number: int) -> Any:
        """Consume and return the next JSON value; errors refer to row `number`."""
        self.next()
        while True:
            try:
                data, end = _DECODER.raw_decode(self.text, self.at)
                if self._ended or isinstance(data, dict | list | str) or end + _TOKEN < len(self.text):
                    break  # of a number, more digits may follow
            except _Invalid as error:
                raise row_error(error.message, self._name, number, error.hint, code=error.code) from None
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
        """Return an error at a position in the buffer."""
        near = self.text[max(self.at, position - 30) : position + 30]
        where = f"{self._name}, row {number}, line {self.line(position)}"
        hint = f"Near: {shortened(near)}" if near else "Check that the file was written completely."
        return UsageError(f"invalid JSON array: {reason}", code="DATA-136", where=where, hint=hint)

    def line(self, position: int) -> int:
        """Return the file's line number at a position in the buffer."""
        return self._line + self.text.count("\n", 0, position)

    def _grow(self) -> None:
        """Drop the consumed text and read at least as much again as is left."""
        self._line, self.text, self.at = self.line(self.at), self.text[self.at :], 0
        raw = self._file.read(max(_CHUNK, len(self.text)))
        self._ended = not raw
        try:
            self.text += self._decoder.decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            line = self.line(len(self.text)) + error.object.count(b"\n", 0, error.start)
            raise UsageError("not UTF-8", code="DATA-137", where=f"{self._name}, line {line}", hint="Save the file as UTF-8.") from None


def _checked(data: Any, raw: str, name: str, number: int) -> Any:
    """Return the row or its error; only rows with an escape that can produce a refused character are searched."""
    return checked_row(data, name, number) if "\\u0000" in raw or "\\ud" in raw or "\\uD" in raw else data


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "nested too deeply" if isinstance(error, RecursionError) else str(error).partition(";")[0]
