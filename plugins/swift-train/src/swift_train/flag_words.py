"""Flags among the words of a command line, before its options are known."""

from __future__ import annotations

from collections.abc import Sequence


def take_flags(words: Sequence[str], names: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the words without these flags, and the values of each that is there."""
    rest: list[str] = []
    found: dict[str, list[str]] = {}
    into = rest
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.removeprefix("--").partition("=")
            name = name.replace("-", "_")
            into = found.setdefault(name, []) if name in names else rest
            if into is not rest:
                into += [value] if equals else []
                continue
        into.append(word)
    return rest, found
