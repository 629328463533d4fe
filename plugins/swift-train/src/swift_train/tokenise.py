"""Texts → tokens, many at once, with what is supervised in them carried from characters to tokens exactly.

A supervised span must begin and end between two tokens, and the tokens ahead of it must be those that the text ahead of it has alone:
they are what an engine sends the model. A fast tokenizer cuts a text at its added tokens before anything else, so the tokens up to the
last added token ahead of the span don't depend on what follows, and only the few behind it are compared. Where they differ (a newline of
the prompt melts with what follows), each span becomes a sequence of its own: the prompt's tokens alone, then those of what is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from swift_core.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase


class Span(NamedTuple):
    """A supervised stretch, from `start` to before `stop`, and what it weighs in the loss."""

    start: int
    stop: int
    weight: float


class Script(NamedTuple):
    """A text, and what is supervised in it, in characters. `whole`: a text by itself, with the tokenizer's own start and end tokens."""

    text: str
    spans: tuple[Span, ...]
    whole: bool = False


class Encoded(NamedTuple):
    """Token ids (tokens,) int32, and what is supervised among them, in tokens, in order and apart."""

    ids: NDArray[np.int32]
    spans: tuple[Span, ...]

    def cut(self, start: int, stop: int) -> Encoded:
        """The part from token `start` to before `stop`."""
        kept = (Span(max(a, start) - start, min(b, stop) - start, weight) for a, b, weight in self.spans)
        return Encoded(self.ids[start:stop], tuple(span for span in kept if span.start < span.stop))


class Tokeniser:
    """Encodes scripts with a tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not tokenizer.is_fast:
            raise UsageError(
                "the model has only a slow tokenizer, which can't tell where its tokens are in the text",
                where="model",
                hint="Save it with tokenizer.json: AutoTokenizer.from_pretrained(…, use_fast=True).save_pretrained(…).",
            )
        self.tokenizer = tokenizer
        self._end: Any = tokenizer.eos_token_id
        self._added = frozenset(tokenizer.added_tokens_decoder)
        self._longest = max(map(len, tokenizer.get_vocab()))
        self._mark = next((token.content for token in tokenizer.added_tokens_decoder.values() if not (token.rstrip or token.lstrip)), "")
        self._alone = lru_cache(4096)(self._encode_alone)

    def least(self, text: str) -> int:
        """A number of tokens that the text has at least, without tokenising it."""
        return -(-len(text) // self._longest)

    def __call__(self, scripts: Sequence[Script]) -> list[list[Encoded] | UsageError]:
        """The sequences of each script, mostly one; where a span can't be told in tokens, the error."""
        results: list[Any] = [None] * len(scripts)
        for whole in (False, True):
            places = [place for place, script in enumerate(scripts) if script.whole is whole]
            if not places:
                continue
            texts = [scripts[place].text for place in places]
            encodings = self.tokenizer(texts, add_special_tokens=whole, return_attention_mask=False, verbose=False).encodings
            for place, encoding in zip(places, encodings or (), strict=True):
                try:
                    results[place] = [self._whole(encoding)] if whole else self._sequences(scripts[place], encoding)
                except UsageError as error:
                    results[place] = error
        return results

    def _whole(self, encoding: Any) -> Encoded:
        ids = encoding.ids
        ids = ids if ids[-1:] == [self._end] else [*ids, self._end]
        return Encoded(np.array(ids, np.int32), (Span(0, len(ids), 1.0),))

    def _sequences(self, script: Script, encoding: Any) -> list[Encoded]:
        try:
            return [self._spans(script, encoding)]
        except _MeltError:
            return [self._apart(script.text, span) for span in script.spans]

    def _apart(self, text: str, span: Span) -> Encoded:
        """The tokens of the text ahead of a span, and after them those of the span alone."""
        prompt, said = text[: span.start], text[span.start : span.stop]
        ahead = self.tokenizer.encode(prompt, add_special_tokens=False, verbose=False)
        encoding: Any = self.tokenizer(self._mark + said, add_special_tokens=False, verbose=False).encodings
        after = encoding[0].ids[1:]
        if self.tokenizer.decode(after) != said:
            raise _MeltError(text, span.start)
        ids = [*ahead, *after]
        return Encoded(np.array(ids, np.int32), (Span(len(ahead), len(ids), span.weight),))

    def _spans(self, script: Script, encoding: Any) -> Encoded:
        ids: list[int] = encoding.ids
        spans = tuple(
            Span(self._begin(script.text, span.start, ids, encoding), self._stop(script.text, span.stop, ids, encoding), span.weight)
            for span in script.spans
        )
        return Encoded(np.array(ids, np.int32), spans)

    def _begin(self, text: str, border: int, ids: list[int], encoding: Any) -> int:
        """The token that begins at a character, behind the very tokens that the text ahead of it has alone."""
        if border == 0:
            return 0
        token = self._at(text, border, encoding)
        if token is None:
            raise _MeltError(text, border)
        anchor = token
        while anchor and ids[anchor - 1] not in self._added:
            anchor -= 1
        anchor = max(anchor - 1, 0)
        begins = encoding.token_to_chars(anchor)[0] if anchor else 0
        if self._alone(text[begins:border]) != tuple(ids[anchor:token]):
            raise _MeltError(text, border)
        return token

    def _stop(self, text: str, border: int, ids: list[int], encoding: Any) -> int:
        """The token after the one that ends at a character. An added token may take whitespace with it that follows."""
        last = encoding.char_to_token(border - 1)
        if last is None:
            raise _MeltError(text, border)
        ends = encoding.token_to_chars(last)[1]
        if ends != border and (ids[last] not in self._added or text[border:ends].strip()):
            raise _MeltError(text, border)
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

    def _encode_alone(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


class _MeltError(UsageError):
    def __init__(self, text: str, border: int) -> None:
        around = f"{text[max(0, border - 12) : border]!r} + {text[border : border + 12]!r}"
        super().__init__(
            f"the tokenizer joins text across the border of an assistant's turn ({around})",
            hint="Are the template's control tokens special tokens of the tokenizer? An answer that begins with spaces can do it too.",
        )
