"""Texts → tokens, many at once, with what is supervised in them carried from characters to tokens exactly.

A supervised span must begin and end between two tokens, and the tokens ahead of it must be those that the text ahead of it has alone
(`swift_train.token_alignment`). Where they differ (a newline of the prompt merges with what follows), each span is its own sequence: the
prompt's tokens alone, then those of what is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from swift_core.contract.errors import UsageError
from swift_train.token_alignment import TokenAligner, TokenBoundaryError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase


class Span(NamedTuple):
    """A supervised stretch, from `start` to before `stop`, and what it weighs in the loss."""

    start: int
    stop: int
    weight: float


class SupervisedText(NamedTuple):
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
        self._borders = TokenAligner(tokenizer)
        self._longest = max(map(len, tokenizer.get_vocab()))
        self._mark = next((token.content for token in tokenizer.added_tokens_decoder.values() if not (token.rstrip or token.lstrip)), "")

    def min_tokens(self, text: str) -> int:
        """A number of tokens that the text has at least, without tokenising it."""
        return -(-len(text) // self._longest)

    def __call__(self, scripts: Sequence[SupervisedText]) -> list[list[Encoded] | UsageError]:
        """The sequences of each script, mostly one; where a span can't be told in tokens, the error."""
        results: list[Any] = [None] * len(scripts)
        for whole in (False, True):
            places = [place for place, script in enumerate(scripts) if script.whole is whole]
            for place, encoding in zip(places, self._encode([scripts[place].text for place in places], whole), strict=True):
                results[place] = [self._whole(encoding.ids)] if whole else self._marked(scripts[place], encoding.ids)
        rest = [place for place, result in enumerate(results) if result is None]
        for place, encoding in zip(rest, self._encode([scripts[place].text for place in rest], offsets=True), strict=True):
            try:
                results[place] = self._sequences(scripts[place], encoding)
            except UsageError as error:
                results[place] = error
        return results

    def _encode(self, texts: list[str], whole: bool = False, *, offsets: bool = False) -> list[Any]:
        """Encodings as the tokenizer's own call makes them, without the lists that it makes of each."""
        fast: Any = self.tokenizer.backend_tokenizer  # type: ignore[attr-defined]
        if fast.truncation is not None:
            fast.no_truncation()
        if fast.padding is not None:
            fast.no_padding()
        encode = fast.encode_batch if offsets else fast.encode_batch_fast
        found: list[Any] = encode(texts, add_special_tokens=whole)
        return found

    def _whole(self, ids: list[int]) -> Encoded:
        ids = ids if ids[-1:] == [self._end] else [*ids, self._end]
        return Encoded(np.array(ids, np.int32), (Span(0, len(ids), 1.0),))

    def _marked(self, script: SupervisedText, ids: list[int]) -> list[Encoded] | None:
        tokens = np.array(ids, np.int32)
        found = self._borders.by_marks(script.text, [place for span in script.spans for place in (span.start, span.stop)], tokens)
        if found is None:
            return None
        spans = zip(found[::2], found[1::2], script.spans, strict=True)
        return [Encoded(tokens, tuple(Span(start, stop, span.weight) for start, stop, span in spans))]

    def _sequences(self, script: SupervisedText, encoding: Any) -> list[Encoded]:
        try:
            return [self._spans(script, encoding)]
        except TokenBoundaryError:
            return [self._apart(script.text, span) for span in script.spans]

    def _apart(self, text: str, span: Span) -> Encoded:
        """The tokens of the text ahead of a span, and after them those of the span alone."""
        prompt, said = text[: span.start], text[span.start : span.stop]
        ahead = self.tokenizer.encode(prompt, add_special_tokens=False, verbose=False)
        encoding: Any = self.tokenizer(self._mark + said, add_special_tokens=False, verbose=False).encodings
        after = encoding[0].ids[1:]
        if self.tokenizer.decode(after) != said:
            raise TokenBoundaryError(text, span.start)
        ids = [*ahead, *after]
        return Encoded(np.array(ids, np.int32), (Span(len(ahead), len(ids), span.weight),))

    def _spans(self, script: SupervisedText, encoding: Any) -> Encoded:
        spans = (Span(*self._borders.by_offsets(script.text, span.start, span.stop, encoding), span.weight) for span in script.spans)
        return Encoded(np.array(encoding.ids, np.int32), tuple(spans))
