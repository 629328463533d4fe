"""Map a character position in a text to a token position: the number of tokens before it.

Those tokens must be exactly the tokens of the text before the position when tokenised alone, since that is what an inference engine
sends the model. A fast tokenizer splits a text at its added tokens before anything else, so the tokens up to the last added token before
the position do not depend on what follows, and only the few after it are compared. That added token is found in two ways. By marks: the
sequence of added tokens in the text must equal the one among the ids; this needs no offsets, which are a quarter of a tokenizer's work.
By offsets, if the marks fail, and for added tokens that absorb whitespace or are matched in the normalised text.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

_SHORT = 100  # characters of a text that is worth caching: the header of a role, not a conversation


class TokenAligner:
    """Finds token positions in tokenised texts."""

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
        self._cached = lru_cache(4096)(self._encode_alone)

    def by_marks(self, text: str, positions: list[int], ids: NDArray[np.int32]) -> list[int] | None:
        """Return the number of tokens before each character position; None if the marks do not determine it."""
        marks = list(self._marks.finditer(text))
        tokens = np.flatnonzero(self._is_mark[ids]).tolist()
        if [self._ids[mark.group()] for mark in marks] != ids[tokens].tolist():
            return None
        starts = [mark.start() for mark in marks]
        found = []
        for position in positions:
            if position == len(text):
                found.append(len(ids))
                continue
            previous = bisect_left(starts, position) - 1
            begin, first = (starts[previous], tokens[previous]) if previous >= 0 else (0, 0)
            alone = self._alone(text[begin:position])
            if tuple(ids[first : first + len(alone)].tolist()) != alone:
                return None
            found.append(first + len(alone))
        return found

    def by_offsets(self, text: str, start: int, stop: int, encoding: Any) -> tuple[int, int]:
        """Return the token positions of the start and the stop of a supervised span of characters.

        Raises:
            TokenBoundaryError: a token spans the start or the stop.
        """
        return self._begin(text, start, encoding.ids, encoding), self._stop(text, stop, encoding.ids, encoding)

    def _begin(self, text: str, boundary: int, ids: list[int], encoding: Any) -> int:
        """Return the token that begins at a character, if the tokens before it are those of the text before it alone."""
        if boundary == 0:
            return 0
        token = self._at(text, boundary, encoding)
        if token is None:
            raise TokenBoundaryError(text, boundary)
        anchor = token
        while anchor and ids[anchor - 1] not in self._added:
            anchor -= 1
        anchor = max(anchor - 1, 0)
        begin = encoding.token_to_chars(anchor)[0] if anchor else 0
        if self._alone(text[begin:boundary]) != tuple(ids[anchor:token]):
            raise TokenBoundaryError(text, boundary)
        return token

    def _stop(self, text: str, boundary: int, ids: list[int], encoding: Any) -> int:
        """Return the token after the one that ends at a character. An added token may include whitespace that follows it."""
        last = encoding.char_to_token(boundary - 1)
        if last is None:
            raise TokenBoundaryError(text, boundary)
        end = encoding.token_to_chars(last)[1]
        if end != boundary and (ids[last] not in self._added or text[boundary:end].strip()):
            raise TokenBoundaryError(text, boundary)
        return int(last) + 1

    def _at(self, text: str, boundary: int, encoding: Any) -> int | None:
        """Return the token that begins at a character, or follows one that ends there: some tokenizers drop or move whitespace."""
        token = encoding.char_to_token(boundary)
        if token is not None and encoding.token_to_chars(token)[0] == boundary:
            while token and encoding.token_to_chars(token - 1) == encoding.token_to_chars(token):
                token -= 1  # one character consists of several tokens
            return int(token)
        before = encoding.char_to_token(boundary - 1)
        if before is not None and encoding.token_to_chars(before)[1] == boundary:
            return int(before) + 1
        return None

    def _alone(self, text: str) -> tuple[int, ...]:
        return self._cached(text) if len(text) <= _SHORT else self._encode_alone(text)

    def _encode_alone(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


class TokenBoundaryError(UsageError):
    """A token spans the boundary of a turn, so that supervised and unsupervised text can't be separated."""

    def __init__(self, text: str, boundary: int) -> None:
        around = f"{text[max(0, boundary - 12) : boundary]!r} + {text[boundary : boundary + 12]!r}"
        super().__init__(
            f"a token spans the boundary of an assistant turn ({around})",
            code="TRAIN-074",
            hint="Check that the template's control tokens are special tokens of the tokenizer, and that the answer has no leading spaces.",
        )
