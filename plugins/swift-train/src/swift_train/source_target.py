"""Conversations as sources and targets of an encoder-decoder model: for each supervised answer, what precedes it, and itself.

A chat template renders both, as for any other model. Without one, the source is the texts of the messages, each on a line, and both have
the special tokens that the tokenizer adds to sources and to targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from swift_data.rows import ChatRow, normalise
from swift_data.rows.conversations import with_default_system

from swift_core.contract import UsageError
from swift_train.batches import SECOND
from swift_train.mask_check import MaskError
from swift_train.masks import ChatEncoder
from swift_train.score_task import PlainUnread, plain_text
from swift_train.tokenise import Encoded, Span, SupervisedText, Tokeniser
from swift_train.unread import UnreadFields

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from swift_core.contract import RawRow
    from swift_train.options import SupervisedOptions


class SourceTargetTokeniser(Tokeniser):
    """Tokenise texts that end with their only span, the target; the column is the number of tokens before it.

    Args:
        tokenizer: fast.
        plain: add the special tokens of sources and of targets.
        limit: cut the sources so that rows have at most that many tokens; None for no limit.
        side: where sources are cut.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, plain: bool, limit: int | None = None, side: str = "right") -> None:
        super().__init__(tokenizer)
        self._plain, self._limit, self._side = plain, limit, side

    def __call__(self, texts: Sequence[SupervisedText]) -> list[list[Encoded] | UsageError]:
        """Return the sequence of each text; or the error if its target alone is too long."""
        sources = self._encode([text.text[: text.spans[0].start] for text in texts], self._plain)
        tokenizer: Any = self.tokenizer
        targets = tokenizer(
            text_target=[text.text[text.spans[0].start :] for text in texts], add_special_tokens=self._plain, verbose=False
        )["input_ids"] if texts else []  # fmt: skip
        found = zip(texts, (encoding.ids for encoding in sources), targets, strict=True)
        return [self._joined(text, list(source), list(target)) for text, source, target in found]

    def _joined(self, text: SupervisedText, source: list[int], target: list[int]) -> list[Encoded] | UsageError:
        if self._plain and self._end is not None and self._end not in target:
            target = [*target, self._end]
        if self._limit and len(source) + len(target) > self._limit:
            rest = self._limit - len(target)
            if rest < 1:
                message = f"the answer has {len(target)} tokens, but max_length is {self._limit}"
                return UsageError(message, code="TRAIN-230", hint="Set a larger --max-length, or --truncation drop.")
            fast: Any = self.tokenizer.backend_tokenizer
            fast.enable_truncation(rest, direction=self._side)
            source = list(fast.encode(text.text[: text.spans[0].start], add_special_tokens=self._plain).ids)
            fast.no_truncation()
        if not source:
            return UsageError("nothing precedes the answer", code="TRAIN-231", hint="Remove the row.")
        ids = np.array([*source, *target], np.int32)
        span = Span(len(source), len(ids), text.spans[0].weight)
        return [Encoded(ids, (span,), (*text.columns, float(len(source))))]


class SourceTargetEncoder:
    """Encode chat rows for an encoder-decoder model.

    Args:
        tokenizer: fast.
        options: of the task.
        stops: end-of-turn tokens of the model's family.
        max_length: maximum tokens of a source with its target.

    Raises:
        UsageError: options that such a model can't have.
    """

    rows, grouped, columns = "chat", False, (SECOND,)

    def __init__(self, tokenizer: PreTrainedTokenizerBase, options: SupervisedOptions, stops: Sequence[str], max_length: int) -> None:
        _check(options)
        self._turns, self._system, self._plain = options.mask.turns, options.system, not tokenizer.chat_template
        cut = options.truncation if options.truncation in ("left", "right") else ""
        self.tokeniser: Tokeniser = SourceTargetTokeniser(tokenizer, plain=self._plain, limit=max_length if cut else None, side=cut)
        self._encode = None if self._plain else ChatEncoder(tokenizer, options.mask, stops)
        self.unread: Any = UnreadFields(self._encode.template) if self._encode else PlainUnread(tokenizer)
        self.settings: Mapping[str, Any] = {
            "rows": "source and target", "system": self._system, "plain": self._plain, "mask": options.mask.model_dump(),
            "stops": list(stops), "cut": cut,
        }  # fmt: skip

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """Return a text for each supervised answer: what precedes it, and the answer."""
        row = normalise(raw, ("chat",))
        assert isinstance(row, ChatRow)
        row = replace(row, messages=with_default_system(row.messages, self._system))
        if self._encode:
            made = [SupervisedText(text.text[: span.stop], (span,)) for text in self._encode(row) for span in text.spans]
        else:
            made = self._plain_texts(row)
        self.unread.add(row)
        return made

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Check that the target alone is supervised. Raises MaskError."""
        for encoded in sequences:
            if [(span.start, span.stop) for span in encoded.spans] != [(int(encoded.columns[-1]), len(encoded.ids))]:
                raise MaskError("the supervised tokens are not those of the target", code="TRAIN-232")

    def _plain_texts(self, row: ChatRow) -> list[SupervisedText]:
        if row.tools:
            message = "this model has no chat template, so that tools can't be written"
            raise UsageError(message, code="TRAIN-233", where="tools", hint="Remove the tools, or give a template: --chat-template FILE.")
        answers = [index for index, message in enumerate(row.messages) if message["role"] == "assistant"]
        made = []
        for index in answers[-1:] if self._turns == "last" else answers:
            weight = float(row.messages[index].get("loss_scale", 1.0))
            source, answer = plain_text(row.messages[:index]), plain_text(row.messages[index : index + 1])
            if weight > 0:
                made.append(SupervisedText(source + answer, (Span(len(source), len(source) + len(answer), weight),)))
        if not made:
            hint = "Remove the row."
            raise UsageError("no token of this row is supervised: each assistant message has loss_scale 0", code="TRAIN-234", hint=hint)
        return made


def _check(options: SupervisedOptions) -> None:
    wrong = {
        "truncation": options.truncation == "split",
        "mask.turns": options.mask.turns == "everything",
        "mask.weights": bool(options.mask.weights),
    }
    for where in (name for name, found in wrong.items() if found):
        message = f"an encoder-decoder model is not trained with this value of {where}"
        raise UsageError(message, code="TRAIN-235", where=where, hint="Leave it out.")
