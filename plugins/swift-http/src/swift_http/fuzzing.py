"""Test helper: request bodies in which one value after another is replaced by a hostile one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

HOSTILE_VALUES = (  # as text, since some are not valid JSON
    r'"\ud800"',
    r'"a\udfffb"',
    r'"\u0000"',
    r'{"\ud800": 1}',
    r'["\udc00"]',
    '""',
    "null",
    "true",
    "[]",
    "[[]]",
    "[null]",
    "{}",
    "0",
    "-1",
    "0.5",
    "1e999",
    "NaN",
    "-Infinity",
    "9" * 30,
    "[" + "9" * 30 + "]",
    "-" + "9" * 400,
    "[" * 200 + "]" * 200,
    '"' + "x" * 3000 + '"',
)
_MARK = "@here@"


def mutations(body: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Yield (description, body) for every body with one value replaced, and for every object with a key that is not valid Unicode."""
    for path in _paths(body):
        for text in HOSTILE_VALUES:
            changed = copy.deepcopy(body)
            _at(changed, path[:-1])[path[-1]] = _MARK
            yield f"{path} = {text[:40]}", json.dumps(changed).replace(f'"{_MARK}"', text).encode()
        if isinstance(_at(body, path), dict):
            changed = copy.deepcopy(body)
            _at(changed, path)["\ud800"] = 1
            yield f"{path}: an invalid key", json.dumps(changed).encode()


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in parts:
        yield from _paths(item, (*path, name))
