"""JSON values of a row, looked at one by one: what kind they are, and a fault's place as a JSON path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class Wrong(Exception):
    """A fault at a JSON path (`$.messages[2].role`) of a row; whoever knows file and row makes an error of it."""

    def __init__(self, path: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.path, self.message, self.hint = path, message, hint


def decoded(value: Any, path: str) -> Any:
    """The value, or what it holds where a table's cell has it as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Wrong(path, f"not JSON: {error}", f"It reads: {value[:60]!r}") from None


def text_of(value: Any, path: str) -> str:
    """The value at `path`, which must be text."""
    if not isinstance(value, str):
        raise Wrong(path, f"must be text, not {kind_of(value)}", 'Write it in quotes: "…".')
    return value


def kind_of(value: Any) -> str:
    """A JSON type's name with its article, for messages."""
    names = (
        (bool, "true or false"),
        (str, "text"),
        (int | float, "a number"),
        (Mapping, "an object"),
        (list | tuple, "a list"),
        (type(None), "null"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), type(value).__name__)
