"""The lines of a file as text, and how an error names a row."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_core.contract.errors import UsageError
from swift_core.contract.roles import RawRow

BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def lines(file: Iterable[bytes], name: str, *, blank: bool = False) -> Iterator[tuple[int, str | UsageError]]:
    """Lines with their numbers, without BOM and line ends (LF or CRLF); blank ones are left out unless wanted.

    A line that is not UTF-8 is given as the error.
    """
    for number, raw in enumerate(file, 1):
        line = raw.removeprefix(BOM) if number == 1 else raw
        try:
            text = line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield number, row_error(f"not UTF-8 (byte {error.start + 1} of the line)", name, number, "Save the file as UTF-8.")
            continue
        if blank or text.strip():
            yield number, text


def beginning(file: io.BufferedReader, name: str) -> bytes:
    """The first bytes of a text file that are neither BOM nor blank, not taken from it yet.

    Raises:
        UsageError: the file is in UTF-16.
    """
    start = file.peek()
    if start.startswith(_UTF16):
        raise UsageError("in UTF-16; only UTF-8 is read", where=name, hint="Save the file as UTF-8.")
    return start.removeprefix(BOM).lstrip()


def raw_row(data: Any, name: str, number: int, folder: Path | None = None) -> RawRow:
    """The row of a data set; where `data` is an error, a row with that fault."""
    return RawRow(None, name, number, folder, data) if isinstance(data, UsageError) else RawRow(data, name, number, folder)


def checked(data: Any, name: str, number: int) -> Any:
    """The row, or the error of one that holds what no tokenizer can take."""
    try:
        check_text(data, name, number)
    except UsageError as error:
        return error
    return data


def check_text(value: Any, name: str, number: int, path: str = "$") -> None:
    """Refuse what no tokenizer can take: NUL characters, and halves of surrogate pairs, which are no characters."""
    if isinstance(value, str):
        if "\0" in value:
            raise row_error("holds a NUL character", name, number, "Remove the character: \\u0000.", path)
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            bad = value[error.start].encode("ascii", "backslashreplace").decode()
            hint = "The text was cut inside an emoji; mend it."
            raise row_error(f"holds half a character ({bad})", name, number, hint, path) from None
    elif isinstance(value, Mapping):
        for key, item in value.items():
            check_text(key, name, number, path)
            check_text(item, name, number, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_text(item, name, number, f"{path}[{index}]")


def row_error(message: str, name: str, number: int, hint: str, path: str = "") -> UsageError:
    """An error at a row, and at a JSON path in it."""
    return UsageError(message, where=f"{name}, row {number}{', ' + path if path else ''}", hint=hint)


def short(text: str, most: int = 60) -> str:
    """The beginning of a text, in quotes."""
    return repr(text if len(text) <= most else f"{text[:most]}…")
