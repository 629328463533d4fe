"""From a border between characters to the border between tokens: how many tokens of a text lie ahead of it.

They must be the very tokens that the text ahead of the border has alone, for those are what an engine sends the model. A fast tokenizer
cuts a text at its added tokens before anything else, so the tokens up to the last added token ahead of the border don't depend on what
follows, and only the few behind it are compared. That token is found in two ways. By marks: the added tokens are looked for in the text
and among the ids, and must be the same, one after the other; this needs no offsets, which are a quarter of a tokenizer's work. By
offsets, wherever that fails, and for added tokens that take whitespace with them or are looked for in the normalised text.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from swift_core.contract.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

_SHORT = 100  # characters of what is worth keeping: a role's header, not a conversation


class TokenAligner:
    """Finds borders in texts that a tokenizer made tokens of."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        added = tokenizer.added_tokens_decoder
        self.tokenizer = tokenizer
        self._added = frozenset(added)
        self._ids = {
            token.content: number
            for number, token in added.items()
            if not (token.lstrip or token.rstrip or token.single_word or token.normalized)
        }
        self._marks = re.compile("|".join(map(re.escape, sorted(self._ids, key=len, reverse=True))) or "(?!)")
        self._is_mark = np.zeros(1 + max(tokenizer.get_vocab().values()), np.bool_)
        self._is_mark[list(added)] = True
        self._kept = lru_cache(4096)(self._encode_alone)

    def by_marks(self, text: str, places: list[int], ids: NDArray[np.int32]) -> list[int] | None:
        """How many tokens lie ahead of each place; None where the marks don't tell."""
        marks = list(self._marks.finditer(text))
        tokens = np.flatnonzero(self._is_mark[ids]).tolist()
        if [self._ids[mark.group()] for mark in marks] != ids[tokens].tolist():
            return None
        starts = [mark.start() for mark in marks]
        found = []
        for place in places:
            if place == len(text):
                found.append(len(ids))
                continue
            ahead = bisect_left(starts, place) - 1
            begins, first = (starts[ahead], tokens[ahead]) if ahead >= 0 else (0, 0)
            alone = self._alone(text[begins:place])
            if tuple(ids[first : first + len(alone)].tolist()) != alone:
                return None
            found.append(first + len(alone))
        return found

    def by_offsets(self, text: str, start: int, stop: int, encoding: Any) -> tuple[int, int]:
        """The tokens ahead of a supervised stretch, and those through its end.

        Raises:
            MeltError: a token lies across a border.
        """
        return self._begin(text, start, encoding.ids, encoding), self._stop(text, stop, encoding.ids, encoding)

    def _begin(self, text: str, border: int, ids: list[int], encoding: Any) -> int:
        """The token that begins at a character, behind the very tokens that the text ahead of it has alone."""
        if border == 0:
            return 0
        token = self._at(text, border, encoding)
        if token is None:
            raise TokenBoundaryError(text, border)
        anchor = token
        while anchor and ids[anchor - 1] not in self._added:
            anchor -= 1
        anchor = max(anchor - 1, 0)
        begins = encoding.token_to_chars(anchor)[0] if anchor else 0
        if self._alone(text[begins:border]) != tuple(ids[anchor:token]):
            raise TokenBoundaryError(text, border)
        return token

    def _stop(self, text: str, border: int, ids: list[int], encoding: Any) -> int:
        """The token after the one that ends at a character. An added token may take whitespace with it that follows."""
        last = encoding.char_to_token(border - 1)
        if last is None:
            raise TokenBoundaryError(text, border)
        ends = encoding.token_to_chars(last)[1]
        if ends != border and (ids[last] not in self._added or text[border:ends].strip()):
            raise TokenBoundaryError(text, border)
        return int(last) + 1

    def _at(self, text: str, border: int, encoding: Any) -> int | None:
        """The token that begins at a character; some tokenizers drop or move whitespace, so the one before must end there instead."""
        token = encoding.char_to_token(border)
        if token is not None and encoding.token_to_chars(token)[0] == border:
            while token and encoding.token_to_chars(token - 1) == encoding.token_to_chars(token):
                token -= 1  # several tokens make up one character
            return int(token)
        before = encoding.char_to_token(border - 1)
        if before is not None and encoding.token_to_chars(before)[1] == border:
            return int(before) + 1
        return None

    def _alone(self, text: str) -> tuple[int, ...]:
        return self._kept(text) if len(text) <= _SHORT else self._encode_alone(text)

    def _encode_alone(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


class TokenBoundaryError(UsageError):
    """Tokens lie across a border, so that what is supervised can't be told from what is not."""

    def __init__(self, text: str, border: int) -> None:
        around = f"{text[max(0, border - 12) : border]!r} + {text[border : border + 12]!r}"
        super().__init__(
            f"the tokenizer joins text across the border of an assistant's turn ({around})",
            hint="Are the template's control tokens special tokens of the tokenizer? An answer that begins with spaces can do it too.",
        )
