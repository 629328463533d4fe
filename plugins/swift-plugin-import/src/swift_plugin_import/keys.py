"""The keys of a foreign file, each of which must be taken: mapped, dropped or refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_WORDS = {"true": True, "false": False, "null": None, "none": None, "~": None}


class Keys:
    """Values by key; `take` returns one and marks it as read."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {str(key): scalar(value) for key, value in values.items()}
        self._taken: set[str] = set()
        self.renamed: dict[str, str] = {}  # older name → newer name

    def take(self, key: str, default: Any = None) -> Any:
        """Return the value of a key and mark it as read; `default` if it is missing or null."""
        self._taken.add(key)
        value = self._values.get(key)
        return default if value is None else value

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key and leave it unread."""
        value = self._values.get(key)
        return default if value is None else value

    def spread(self, key: str) -> None:
        """Put the items of a mapping beside the other keys, which override them."""
        value = self.take(key)
        for name, item in value.items() if isinstance(value, Mapping) else ():
            self._values.setdefault(str(name), scalar(item))

    def rename(self, old: str, new: str) -> None:
        """Give a key the name that another version of the tool has for it."""
        if old in self._values and old not in self._taken:
            self._values.setdefault(new, self._values.pop(old))
            self.renamed[old] = new

    def __contains__(self, key: object) -> bool:
        return key in self._values and key not in self._taken

    def taken(self) -> dict[str, Any]:
        """Return the keys that were read."""
        return {key: value for key, value in self._values.items() if key in self._taken}

    def left(self) -> dict[str, Any]:
        """Return the keys that were not read."""
        return {key: value for key, value in self._values.items() if key not in self._taken}


def scalar(value: Any) -> Any:
    """Return the number or the switch that a text stands for (`1e-4`, which YAML 1.1 reads as text); other values unchanged."""
    if isinstance(value, list):
        return [scalar(item) for item in value]
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _NUMBER.fullmatch(text):
        return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
    if text.startswith(("{", "[")):
        try:
            return json.loads(text)
        except ValueError:
            return value
    return value


def is_on(value: Any) -> bool:
    """Return whether a value switches something on."""
    return value not in (None, False, 0, "", "none", "no", "off", [], {}, ["none"])
