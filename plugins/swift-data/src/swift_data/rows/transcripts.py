"""Conversations written as one text, as in Anthropic's HH-RLHF dataset: turns that begin with "Human:" and "Assistant:"."""

from __future__ import annotations

import re

_TURN = re.compile(r"\n\n(Human|Assistant):[ \t]*")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def is_transcript(value: object) -> bool:
    """Return True if a value is such a text."""
    return isinstance(value, str) and value.startswith("\n\nHuman:") and "\n\nAssistant:" in value


def turns_of(text: str) -> list[dict[str, str]]:
    """Split a transcript into messages; a speaker's name at the beginning of any paragraph starts a turn."""
    _, *parts = _TURN.split(text)
    return [{"role": _ROLES[name], "content": text.strip()} for name, text in zip(parts[::2], parts[1::2], strict=True)]
