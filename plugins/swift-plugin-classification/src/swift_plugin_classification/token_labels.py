"""Rows of labelled words or spans as token sequences, in which each scored token has the number of its class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from swift_data.entities import OUTSIDE, words
from swift_data.rows import TaggedRow, normalise
from swift_data.unread import Unread
from swift_train.mask_check import MaskError
from swift_train.token_targets import token_targets
from swift_train.tokenise import NO_TARGET, Encoded, Span, SupervisedText, Target, Tokeniser
from swift_train.unread import ControlTokens

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from swift_core.contract import RawRow
    from swift_plugin_classification.token_options import TokenClassificationOptions


class LabelTokeniser(Tokeniser):
    """Tokenise texts with the tokenizer's special tokens, and give the tokens of their parts the classes of these.

    Args:
        tokenizer: fast.
        limit: cut texts to that many tokens on the right, special tokens included; None for no limit.
        outside: class of parts that are no entity.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, limit: int | None, outside: int) -> None:
        super().__init__(tokenizer)
        self._limit, self._outside = limit, outside

    def __call__(self, texts: Sequence[SupervisedText]) -> list[list[Encoded] | UsageError]:
        """Return the sequence of each text; or the error if an entity has no token of its own."""
        fast: Any = self.tokenizer.backend_tokenizer
        plain = [text.text for text in texts]
        found = self._encode(plain, True, offsets=True)
        if self._limit and any(len(encoding.ids) > self._limit for encoding in found):
            fast.enable_truncation(self._limit)
            found = fast.encode_batch(plain, add_special_tokens=True)
            fast.no_truncation()
        return [self._classified(text, encoding) for text, encoding in zip(texts, found, strict=True)]

    def _classified(self, text: SupervisedText, encoding: Any) -> list[Encoded] | UsageError:
        classes, hidden = token_targets(text.text, encoding, text.targets, self._outside)
        if hidden:
            part = text.targets[hidden[0]]
            message = f"{text.text[part.start : part.stop]!r} has no token of its own: one token holds it and the label before it"
            return UsageError(message, code="TRAIN-177", hint="Correct the span, or leave rows out: --data.on-error skip.")
        spans = tuple(Span(int(token), int(token) + 1, 1.0) for token in np.flatnonzero(classes != NO_TARGET))
        return [Encoded(np.array(encoding.ids, np.int32), spans, targets=classes)]


class TokenLabelEncoder:
    """Encode tagged rows. Tokens without a label, such as [CLS] and further tokens of words, are not scored."""

    marks = "own label"
    rows = "tagged"

    def __init__(self, tokenizer: PreTrainedTokenizerBase, options: TokenClassificationOptions) -> None:
        self._numbers = {name: number for number, name in enumerate(options.label_names)}
        self._count, self._every_token = options.num_labels, options.label_all_tokens
        limit = min(options.max_length or tokenizer.model_max_length, tokenizer.model_max_length)
        cut = limit if options.truncation == "right" and limit < 1 << 30 else None
        self.tokeniser: Tokeniser = LabelTokeniser(tokenizer, cut, self._numbers.get(OUTSIDE, NO_TARGET))
        self.settings: Mapping[str, Any] = {
            "rows": self.rows, "names": list(options.label_names), "num_labels": self._count, "every_token": self._every_token,
            "limit": cut, "scored": self.marks,
        }  # fmt: skip
        self.unread, self._control = Unread(), ControlTokens(tokenizer)

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """Return the text of a row with the classes of its parts."""
        row = normalise(raw, ("tagged",))
        assert isinstance(row, TaggedRow)
        self.unread.add(row.unread, self._control.of([row.text]))
        return [SupervisedText(row.text, (), targets=self._targets(row, raw))]

    def _targets(self, row: TaggedRow, raw: RawRow) -> tuple[Target, ...]:
        """Return the parts of a row with the classes of their tokens. Raises UsageError for a label that the task does not have."""
        try:
            return tuple(self._words(row) if row.words else self._parts(row))
        except _OtherLabel as error:
            hint = "Correct it, or set --label-names (with O for text outside of spans)."
            raise UsageError(str(error), code="TRAIN-178", where=f"{raw.file}, row {raw.number}", hint=hint) from None

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Check that the first token of each labelled part has the part's class, as the tokenizer itself places it. Raises MaskError."""
        row, (encoded,) = normalise(raw, ("tagged",)), sequences
        assert isinstance(row, TaggedRow)
        encoding: Any = self.tokeniser.tokenizer(row.text, verbose=False).encodings
        outside = self._numbers.get(OUTSIDE, NO_TARGET)
        for part in (part for part in self._targets(row, raw) if part.first != outside):  # a token may hold an entity and text before it
            letters = (place for place in range(part.start, part.stop) if not row.text[place].isspace())
            token = next((found for place in letters if (found := encoding[0].char_to_token(place)) is not None), None)
            assert encoded.targets is not None
            whole = token is not None and encoding[0].token_to_chars(token)[0] >= part.start
            if token is not None and whole and token < len(encoded.ids) - 1 and encoded.targets[token] != part.first:
                message = f"the label of {row.text[part.start : part.stop]!r} is not at its first token"
                raise MaskError(message, code="TRAIN-179")

    def _words(self, row: TaggedRow) -> Iterator[Target]:
        """Yield the words with their tags; further tokens of a word have none, or that of its inside."""
        for start, stop, label in ((span.start, span.stop, span.label) for span in row.spans):
            first = self._class(label)
            yield Target(start, stop, first, self._inside(label, first) if self._every_token else NO_TARGET)

    def _parts(self, row: TaggedRow) -> Iterator[Target]:
        """Yield the entities and the text around them, or the words of both."""
        end, outside = 0, self._class(OUTSIDE)
        for span in row.spans:
            yield from self._split(row.text, Target(end, span.start, outside, outside))
            first = self._class(f"B-{span.label}" if f"B-{span.label}" in self._numbers else span.label)
            yield from self._split(row.text, Target(span.start, span.stop, first, self._inside(f"B-{span.label}", first)))
            end = span.stop
        yield from self._split(row.text, Target(end, len(row.text), outside, outside))

    def _split(self, text: str, part: Target) -> Iterator[Target]:
        if self._every_token:
            yield from [part] if part.stop > part.start else []
            return
        for number, (start, stop) in enumerate(words(text, part.start, part.stop)):
            yield Target(start, stop, part.rest if number else part.first, NO_TARGET)

    def _inside(self, label: str | int, first: int) -> int:
        """Return the class of what follows in a part whose first token has a label: I-X of B-X, else the same."""
        name = label if isinstance(label, str) else next((name for name, number in self._numbers.items() if number == label), "")
        return self._numbers.get(f"I-{name[2:]}", first) if name.startswith("B-") else first

    def _class(self, label: str | int) -> int:
        number = self._numbers.get(label) if isinstance(label, str) else label
        if number is None or not 0 <= number < self._count:
            names = ", ".join(self._numbers) or f"the numbers 0 to {self._count - 1}"
            raise _OtherLabel(f"the label is {label!r}; the labels are {names}")
        return number


class _OtherLabel(Exception):
    """A label is none of the task's."""
