"""Tokenise texts in batches, and map their supervised spans exactly from characters to tokens.

A supervised span must begin and end at a token boundary, and the tokens before it must equal those of the preceding text tokenised alone
(`swift_train.token_alignment`). If they differ (a newline of the prompt merges with the text after it), each span becomes a sequence of its
own: the tokens of the prompt, followed by those of the span, tokenised separately.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from swift_core.contract import UsageError
from swift_train.token_alignment import TokenAligner, TokenBoundaryError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from swift_train.media.files import MediaFile


class Span(NamedTuple):
    """A supervised span, from `start` to before `stop`, and its loss weight."""

    start: int
    stop: int
    weight: float


class MediaSpan(NamedTuple):
    """The placeholder of a media file in a text or a sequence, from `start` to before `stop`."""

    start: int
    stop: int
    file: MediaFile


class Target(NamedTuple):
    """A part of a text whose tokens have classes: `first` that of its first token, `rest` that of its other ones; `NO_TARGET` for none."""

    start: int
    stop: int
    first: int
    rest: int


NO_TARGET = -1  # of a token without a class
TARGET = "target"  # column of the classes of the supervised tokens, in `Sample.columns`


class SupervisedText(NamedTuple):
    """A text and its supervised spans, in characters. `whole`: all of it is supervised, with the tokenizer's start and end tokens.

    `columns` are numbers beside the tokens, such as a label, as the encoder names them; `media` are the places of the text's media files,
    in order, whose placeholders are expanded; `weighted` are parts of the spans with a weight of their own, of which the last counts;
    `targets` are parts whose tokens have classes, in order and disjoint.
    """

    text: str
    spans: tuple[Span, ...]
    whole: bool = False
    columns: tuple[float, ...] = ()
    media: tuple[MediaSpan, ...] = ()
    weighted: tuple[Span, ...] = ()
    targets: tuple[Target, ...] = ()


class Encoded(NamedTuple):
    """Token ids (tokens,) int32, the supervised spans in tokens, in order and disjoint, the text's `columns`, and its `media` in tokens.

    `weighted` are parts of the spans with a weight of their own, in tokens; of several for a token the last counts. `targets` are the
    classes of the tokens, (tokens,) int32, if the task classifies tokens.
    """

    ids: NDArray[np.int32]
    spans: tuple[Span, ...]
    columns: tuple[float, ...] = ()
    media: tuple[MediaSpan, ...] = ()
    weighted: tuple[Span, ...] = ()
    targets: NDArray[np.int32] | None = None

    def cut(self, start: int, stop: int) -> Encoded:
        """Return the tokens from `start` to before `stop`, with their spans, and the media files that are whole in them."""
        spans, weighted = (
            tuple(Span(max(a, start) - start, min(b, stop) - start, weight) for a, b, weight in each if max(a, start) < min(b, stop))
            for each in (self.spans, self.weighted)
        )
        whole = tuple(MediaSpan(a - start, b - start, file) for a, b, file in self.media if start <= a and b <= stop)
        targets = None if self.targets is None else self.targets[start:stop]
        return Encoded(self.ids[start:stop], spans, self.columns, whole, weighted, targets)

    @property
    def weights(self) -> NDArray[np.float64]:
        """The loss weight of each token, (tokens,); 0 if it is not supervised."""
        found = np.zeros(len(self.ids))
        for start, stop, weight in (*self.spans, *self.weighted):
            found[start:stop] = weight
        return found


class Tokeniser:
    """Tokenise supervised texts with a fast tokenizer.

    Raises:
        UsageError: the tokenizer is a slow one, which has no character offsets.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not tokenizer.is_fast:
            raise UsageError(
                "the model has only a slow tokenizer, which has no character offsets",
                code="TRAIN-075",
                where="model",
                hint="Save it with tokenizer.json: AutoTokenizer.from_pretrained(…, use_fast=True).save_pretrained(…).",
            )
        self.tokenizer = tokenizer
        self._end: Any = tokenizer.eos_token_id
        self._aligner = TokenAligner(tokenizer)
        self._longest = max(map(len, tokenizer.get_vocab()))
        self._mark = next((token.content for token in tokenizer.added_tokens_decoder.values() if not (token.rstrip or token.lstrip)), "")

    def min_tokens(self, text: str) -> int:
        """Return a lower bound of the text's number of tokens, without tokenising it."""
        return -(-len(text) // self._longest)

    def __call__(self, texts: Sequence[SupervisedText]) -> list[list[Encoded] | UsageError]:
        """Return the sequences of each text, usually one; or the error if a span does not begin or end at a token boundary."""
        results: list[Any] = [None] * len(texts)
        for whole in (False, True):
            places = [place for place, text in enumerate(texts) if text.whole is whole and not (text.media or text.weighted)]
            for place, encoding in zip(places, self._encode([texts[place].text for place in places], whole), strict=True):
                results[place] = [self._whole(encoding.ids)] if whole else self._marked(texts[place], encoding.ids)
        rest = [place for place, result in enumerate(results) if result is None]
        for place, encoding in zip(rest, self._encode([texts[place].text for place in rest], offsets=True), strict=True):
            try:
                results[place] = self._sequences(texts[place], encoding)
            except UsageError as error:
                results[place] = error
        return [
            [encoded._replace(columns=text.columns) for encoded in result] if text.columns and isinstance(result, list) else result
            for text, result in zip(texts, results, strict=True)
        ]

    def _encode(self, texts: list[str], whole: bool = False, *, offsets: bool = False) -> list[Any]:
        """Encode texts as the tokenizer's own call does, without its conversion to Python lists."""
        fast: Any = self.tokenizer.backend_tokenizer
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

    def _marked(self, text: SupervisedText, ids: list[int]) -> list[Encoded] | None:
        tokens = np.array(ids, np.int32)
        found = self._aligner.by_marks(text.text, [place for span in text.spans for place in (span.start, span.stop)], tokens)
        if found is None:
            return None
        spans = zip(found[::2], found[1::2], text.spans, strict=True)
        return [Encoded(tokens, tuple(Span(start, stop, span.weight) for start, stop, span in spans))]

    def _sequences(self, text: SupervisedText, encoding: Any) -> list[Encoded]:
        try:
            return [self._spans(text, encoding)]
        except TokenBoundaryError:
            return [self._separately(text, span) for span in text.spans]

    def _separately(self, whole: SupervisedText, span: Span) -> Encoded:
        """Tokenise the text before a span and the span separately, and concatenate the tokens."""
        text, ahead = whole.text, [place for place in whole.media if place.start < span.stop]
        if ahead and ahead[-1].stop > span.start:
            raise TokenBoundaryError(text, span.start)
        prompt, answer = text[: span.start], text[span.start : span.stop]
        before = self.tokenizer.encode(prompt, add_special_tokens=False, verbose=False)
        encoding: Any = self.tokenizer(self._mark + answer, add_special_tokens=False, verbose=False).encodings
        after = encoding[0].ids[1:]
        if self.tokenizer.decode(after) != answer:
            raise TokenBoundaryError(text, span.start)
        ids = [*before, *after]
        media = _media(ahead, self.tokenizer(prompt, add_special_tokens=False, verbose=False).encodings) if ahead else ()
        within = [Span(a - span.start, b - span.start, weight) for a, b, weight in whole.weighted if span.start <= a < span.stop]
        weighted = _weighted(within, encoding[0].offsets[1:], len(self._mark), len(before))
        return Encoded(np.array(ids, np.int32), (Span(len(before), len(ids), span.weight),), media=media, weighted=weighted)

    def _spans(self, text: SupervisedText, encoding: Any) -> Encoded:
        spans = (Span(*self._aligner.by_offsets(text.text, span.start, span.stop, encoding), span.weight) for span in text.spans)
        weighted = _weighted(text.weighted, encoding.offsets)
        return Encoded(np.array(encoding.ids, np.int32), tuple(spans), media=_media(text.media, [encoding]), weighted=weighted)


def _weighted(places: Sequence[Span], offsets: Sequence[tuple[int, int]], ahead: int = 0, first: int = 0) -> tuple[Span, ...]:
    """Return weighted parts in tokens: those whose first character is in the part.

    Args:
        places: the parts, in characters.
        offsets: start and stop of each token, in characters.
        ahead: characters before those that the places count from.
        first: number of the first of these tokens.
    """
    found = []
    for start, stop, weight in places:
        tokens = [number for number, (begin, end) in enumerate(offsets) if start <= begin - ahead < stop and end > begin]
        if tokens:
            found.append(Span(first + tokens[0], first + tokens[-1] + 1, weight))
    return tuple(found)


def _media(places: Sequence[MediaSpan], encodings: Sequence[Any]) -> tuple[MediaSpan, ...]:
    """Return the places in tokens: from the token of their first character to that of their last."""
    (encoding,) = encodings
    found = []
    for start, stop, file in places:
        tokens = [token for at in range(start, stop) if (token := encoding.char_to_token(at)) is not None]
        found.append(MediaSpan(tokens[0], tokens[-1] + 1, file))
    return tuple(found)
