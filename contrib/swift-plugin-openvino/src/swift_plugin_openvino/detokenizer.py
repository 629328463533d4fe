"""Token ids → text as an answer grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]

BROKEN = "\ufffd"  # stands for bytes that are no whole character yet


class Detokenizer:
    """Gives text as soon as it is certain: a character that is spread over several tokens comes when it is whole.

    The tokens before a new one are decoded with it, since some tokenizers drop a space at the very beginning.

    Args:
        decode: token ids → text.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._before: list[int] = []  # whose text was given, and that are decoded again beside what is new
        self._new: list[int] = []
        self._shown = ""  # the text of `_before`

    def push(self, token: int) -> str:
        """The text that is certain now."""
        self._new.append(token)
        text = self._decode([*self._before, *self._new])[len(self._shown) :]
        if not text or text.endswith(BROKEN):
            return ""
        self._before, self._new = self._new, []
        self._shown = self._decode(self._before)
        return text

    def flush(self) -> str:
        """What is left at the end, a broken character too."""
        text = self._decode([*self._before, *self._new])[len(self._shown) :] if self._new else ""
        self._before, self._new = [], []
        return text
