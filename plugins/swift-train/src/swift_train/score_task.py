"""Tasks that train a head of scores: a conversation is one sequence, and its scores are those at its last token.

That is the last token other than the padding token, where transformers' sequence classifiers read the scores of a padded row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from swift_data.rows.conversations import with_default_system

from swift_core.contract import UsageError
from swift_train.mask_check import MaskError
from swift_train.media.rows import RowMedia
from swift_train.options import MaskOptions
from swift_train.tasks import SampleTask
from swift_train.template_encoder import TemplateEncoder
from swift_train.tokenise import Encoded, Span, SupervisedText, Tokeniser

if TYPE_CHECKING:
    from swift_data.rows import ChatRow
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

    from swift_train.batches import Micro
    from swift_train.options import ChatOptions


class LastToken(Tokeniser):
    """Tokenise texts and mark the last token of each that is not the padding token."""

    def __call__(self, texts: Sequence[SupervisedText]) -> list[list[Encoded] | UsageError]:
        """Return the sequence of each text; or the error if all its tokens are padding tokens."""
        encodings = self._encode(
            [text.text for text in texts], any(text.whole for text in texts)
        )  # an encoder's texts are all whole or none
        return [self._marked_last(text, encoding.ids) for text, encoding in zip(texts, encodings, strict=True)]

    def _marked_last(self, text: SupervisedText, ids: list[int]) -> list[Encoded] | UsageError:
        tokens = np.array(ids, np.int32)
        others = np.flatnonzero(tokens != self.tokenizer.pad_token_id)
        if not len(others):
            return UsageError("the row is empty", code="TRAIN-130", hint="Remove the row.")
        last = int(others[-1])
        return [Encoded(tokens, (Span(last, last + 1, 1.0),), text.columns)]


class ConversationEncoder(TemplateEncoder):
    """Encode whole conversations, with the tokens that the chat template renders; a base class."""

    marks = "last token"

    def __init__(self, tokenizer: PreTrainedTokenizerBase, options: ChatOptions, stops: Sequence[str], media: RowMedia | None) -> None:
        text_only = RowMedia(media.folder if media else None)  # a head of scores is on a language model alone
        super().__init__(LastToken(tokenizer), options, MaskOptions(turns="everything"), stops, text_only)
        self.settings = {**self.settings, "scored": self.marks}

    def text(self, row: ChatRow, columns: tuple[float, ...] = ()) -> SupervisedText:
        """Return the text of a conversation, with columns."""
        (text,) = self.encode(replace(row, messages=with_default_system(row.messages, self.system)))
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


class ScoreTask(SampleTask):
    """A task on the scores of sequences: a base class. `loss` receives them as (sequences, scores), float32 if it converts them."""

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Return the scores at the marked tokens themselves, not before them."""
        return super().forward(model, replace(micro, positions=micro.positions + 1))
