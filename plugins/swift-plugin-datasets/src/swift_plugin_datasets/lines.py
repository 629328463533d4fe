"""Decode the lines of a file, check rows for characters that no tokenizer accepts, and build errors that name a row."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_core.contract import RawRow, UsageError

BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def lines(file: Iterable[bytes], name: str, *, blank: bool = False, before: int = 0) -> Iterator[tuple[int, str | UsageError]]:
    """Yield (line number, text) without BOM and line ends (LF or CRLF); blank lines are skipped unless `blank` is set.

    For a line that is not UTF-8, the error is yielded in place of the text. `before` lines are ahead of the first one.
    """
    for number, raw in enumerate(file, before + 1):
        line = raw.removeprefix(BOM) if number == 1 else raw
        try:
            text = line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield (
                number,
                row_error(f"not UTF-8 (at byte {error.start + 1} of the line)", name, number, "Save the file as UTF-8.", code="DATA-138"),
            )
            continue
        if blank or text.strip():
            yield number, text


def peek_start(file: io.BufferedReader, name: str) -> bytes:
    """Return the first bytes of a text file after BOM and blanks, without consuming them.

    Raises:
        UsageError: the file is encoded in UTF-16.
    """
    start = file.peek()
    if start.startswith(_UTF16):
        raise UsageError("the file is encoded in UTF-16, not UTF-8", code="DATA-139", where=name, hint="Save the file as UTF-8.")
    return start.removeprefix(BOM).lstrip()


def raw_row(data: Any, name: str, number: int, folder: Path | None = None) -> RawRow:
    """Return a RawRow with this data; if `data` is an error, a row with that fault."""
    return RawRow(None, name, number, folder, data) if isinstance(data, UsageError) else RawRow(data, name, number, folder)


def checked_row(data: Any, name: str, number: int) -> Any:
    """Return the row, or the error if it contains characters that no tokenizer accepts."""
    try:
        check_characters(data, name, number)
    except UsageError as error:
        return error
    return data


def check_characters(value: Any, name: str, number: int, path: str = "$") -> None:
    """Check all texts in a row for NUL characters and unpaired surrogates, which no tokenizer accepts.

    Raises:
        UsageError: at the JSON path of the text.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise row_error("contains a NUL character", name, number, "Remove the character: \\u0000.", path, code="DATA-140")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            bad = value[error.start].encode("ascii", "backslashreplace").decode()
            hint = "Fix the text: it was probably cut inside an emoji."
            raise row_error(f"contains an unpaired surrogate ({bad})", name, number, hint, path, code="DATA-141") from None
    elif isinstance(value, Mapping):
        for key, item in value.items():
            check_characters(key, name, number, path)
            check_characters(item, name, number, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_characters(item, name, number, f"{path}[{index}]")


def row_error(message: str, name: str, number: int, hint: str, path: str = "", *, code: str = "") -> UsageError:
    """Return an error at a row of the file `name`, and at a JSON path in the row if one is given."""
    return UsageError(message, code=code, where=f"{name}, row {number}{', ' + path if path else ''}", hint=hint)


def shortened(text: str, maximum: int = 60) -> str:
    """Return at most `maximum` characters of a text, quoted."""
    return repr(text if len(text) <= maximum else f"{text[:maximum]}…")
