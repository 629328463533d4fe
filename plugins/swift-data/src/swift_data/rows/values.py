"""JSON values of a row: their types, and errors with a JSON path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class Wrong(Exception):
    """An error at a JSON path (`$.messages[2].role`) of a row; the caller adds file and row number."""

    def __init__(self, path: str, message: str, hint: str = "", *, code: str = "") -> None:
        super().__init__(message)
        self.path, self.message, self.hint, self.code = path, message, hint, code


def decoded(value: Any, path: str) -> Any:
    """Return the value, parsed if it is JSON text, as table cells have it.

    Raises:
        Wrong: it is text, but not JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Wrong(path, f"not JSON: {error}", f"It reads: {value[:60]!r}", code="DATA-004") from None


def text_of(value: Any, path: str) -> str:
    """Return the value at `path`, which must be text.

    Raises:
        Wrong: it is not text.
    """
    if not isinstance(value, str):
        raise Wrong(path, f"must be text, not {kind_of(value)}", 'Write it in quotes: "…".', code="DATA-048")
    return value


def kind_of(value: Any) -> str:
    """Return the name of a value's JSON type, with its article, for messages."""
    names = (
        (bool, "true or false"),
        (str, "text"),
        (int | float, "a number"),
        (Mapping, "an object"),
        (list | tuple, "a list"),
        (type(None), "null"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), type(value).__name__)
