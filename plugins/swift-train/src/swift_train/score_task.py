"""Tasks that train a head of scores: a conversation is one sequence, and its scores are those at its last token.

That is the last token other than the padding token, where transformers' sequence classifiers read the scores of a padded row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from swift_data.rows.conversations import with_default_system
from swift_data.unread import Unread

from swift_core.contract import UsageError
from swift_train.mask_check import MaskError
from swift_train.mask_options import MaskOptions
from swift_train.media.rows import RowMedia
from swift_train.tasks import SampleTask
from swift_train.template_encoder import TemplateEncoder
from swift_train.tokenise import Encoded, Span, SupervisedText, Tokeniser
from swift_train.unread import ControlTokens

if TYPE_CHECKING:
    from swift_data.rows import ChatRow
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

    from swift_train.batches import Micro
    from swift_train.options import ScoreOptions


class LastToken(Tokeniser):
    """Tokenise texts and mark the last token of each that is not the padding token.

    Args:
        tokenizer: fast.
        plain: add the tokenizer's special tokens: the texts are not rendered by a chat template.
        limit: cut texts to that many tokens on the right, special tokens included; None for no limit.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, plain: bool = False, limit: int | None = None) -> None:
        super().__init__(tokenizer)
        self._plain, self._limit = plain, limit

    def __call__(self, texts: Sequence[SupervisedText]) -> list[list[Encoded] | UsageError]:
        """Return the sequence of each text; or the error if all its tokens are padding tokens."""
        fast: Any = self.tokenizer.backend_tokenizer
        found = self._encode([text.text for text in texts], self._plain)
        if self._limit and any(len(encoding.ids) > self._limit for encoding in found):
            fast.enable_truncation(self._limit)
            found = fast.encode_batch_fast([text.text for text in texts], add_special_tokens=self._plain)
            fast.no_truncation()
        return [self.marked_last(text, encoding.ids) for text, encoding in zip(texts, found, strict=True)]

    def marked_last(self, text: SupervisedText, ids: list[int]) -> list[Encoded] | UsageError:
        """Return the sequence of a text, with its last token marked."""
        tokens = np.array(ids, np.int32)
        others = np.flatnonzero(tokens != self.tokenizer.pad_token_id)
        if not len(others):
            return UsageError("the row is empty", code="TRAIN-130", hint="Remove the row.")
        last = int(others[-1])
        return [Encoded(tokens, (Span(last, last + 1, 1.0),), text.columns)]


class ConversationEncoder(TemplateEncoder):
    """Encode whole conversations, with the tokens that the chat template renders; a base class.

    A model without a chat template, such as BERT, gets the texts of the messages, each on a line, with the tokenizer's special tokens.

    Attributes:
        plain: whether the chat template is not used: there is none, or the user does not want it.
    """

    marks = "last token"

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        options: ScoreOptions,
        stops: Sequence[str],
        media: RowMedia | None,
        *,
        plain: bool = False,
    ) -> None:
        self.plain = plain or not tokenizer.chat_template
        if self.plain:
            self.media, self.system = None, options.system
            limit = min(options.max_length or tokenizer.model_max_length, tokenizer.model_max_length)
            cut = limit if options.truncation == "right" and limit < 1 << 30 else None
            self.tokeniser: Tokeniser = LastToken(tokenizer, plain=True, limit=cut)
            self.unread: Any = PlainUnread(tokenizer)
            self.settings = {"rows": self.rows, "system": self.system, "plain": True, "limit": cut}
        else:
            text_only = RowMedia(media.folder if media else None)  # a head of scores is on a language model alone
            super().__init__(LastToken(tokenizer), options, MaskOptions(turns="everything"), stops, text_only)
        self.settings = {**self.settings, "scored": self.marks}

    def text(self, row: ChatRow, columns: tuple[float, ...] = ()) -> SupervisedText:
        """Return the text of a conversation, with columns."""
        messages = with_default_system(row.messages, self.system)
        if self.plain:
            return SupervisedText(plain_text(messages), (), columns=columns)
        (text,) = self.encode(replace(row, messages=messages))
        return text._replace(columns=columns)

    def check_scored(self, sequences: Sequence[Encoded]) -> None:
        """Check that a sequence is scored once, and that only padding tokens follow. Raises MaskError."""
        check_scored(sequences, self.tokeniser.tokenizer.pad_token_id)


def check_scored(sequences: Sequence[Encoded], padding: int | None) -> None:
    """Check that a sequence is scored once, and that only padding tokens follow. Raises MaskError."""
    for encoded in sequences:
        after = encoded.ids[encoded.spans[0].start :].tolist() if len(encoded.spans) == 1 else []
        if not after or after[0] == padding or set(after[1:]) - {padding}:
            raise MaskError("a sequence is not scored at its last token", code="TRAIN-131")


class PlainUnread:
    """Count the fields of rows that are not used, and control tokens in their texts, without a chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._found, self._control = Unread(), ControlTokens(tokenizer)

    def add(self, row: ChatRow) -> None:
        """Add a row to the counts."""
        self._found.add(row.unread, self._control.of([plain_text(row.messages)]))

    def take(self) -> Unread:
        """Return the counts since the last call, and reset them."""
        return self._found.take()


def plain_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the texts of messages, each on a line. Raises UsageError if one is not text."""
    contents = [message["content"] for message in messages]
    if not all(isinstance(content, str) for content in contents):
        raise UsageError("this model reads texts only", code="TRAIN-176", where="messages", hint="Remove the media.")
    return "\n".join(contents)


class ScoreTask(SampleTask):
    """A task on the scores of sequences: a base class. `loss` receives them as (sequences, scores), float32 if it converts them."""

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Return the scores at the marked tokens themselves, not before them."""
        return super().forward(model, replace(micro, positions=micro.positions + 1))
