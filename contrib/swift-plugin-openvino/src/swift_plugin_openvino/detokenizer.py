"""Incremental detokenization of a response."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]

INCOMPLETE = "\ufffd"  # the decoding of an incomplete character


class Detokenizer:
    """Incremental conversion of tokens to text, holding back characters until all of their tokens have arrived.

    New tokens are decoded together with the tokens before, since some tokenizers drop a space at the beginning of a text.

    Args:
        decode: maps token ids to text.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._before: list[int] = []  # tokens whose text was returned; decoded again together with new ones
        self._new: list[int] = []
        self._shown = ""  # the text of `_before`

    def push(self, token: int) -> str:
        """Add a token, and return the text that is now complete."""
        self._new.append(token)
        text = self._decode([*self._before, *self._new])[len(self._shown) :]
        if not text or text.endswith(INCOMPLETE):
            return ""
        self._before, self._new = self._new, []
        self._shown = self._decode(self._before)
        return text

    def flush(self) -> str:
        """Return the remaining text at the end, including an incomplete character."""
        text = self._decode([*self._before, *self._new])[len(self._shown) :] if self._new else ""
        self._before, self._new = [], []
        return text
