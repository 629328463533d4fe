"""Conversations written down as one text, as Anthropic's HH-RLHF has them: turns that begin with "Human:" and "Assistant:"."""

from __future__ import annotations

import re

_TURN = re.compile(r"\n\n(Human|Assistant):[ \t]*")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def is_transcript(value: object) -> bool:
    """Whether a value is such a text."""
    return isinstance(value, str) and value.startswith("\n\nHuman:") and "\n\nAssistant:" in value


def turns_of(text: str) -> list[dict[str, str]]:
    """The messages of a transcript; a speaker's name at the beginning of a paragraph begins a turn, wherever it stands."""
    _, *parts = _TURN.split(text)
    return [{"role": _ROLES[name], "content": said.strip()} for name, said in zip(parts[::2], parts[1::2], strict=True)]
