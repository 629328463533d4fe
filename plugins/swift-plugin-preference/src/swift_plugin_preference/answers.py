"""Answers to a prompt: their encoding, and their log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from swift_data.rows import ChatRow, LabelRow, PreferenceRow
from swift_data.rows.conversations import with_default_system
from swift_train import losses
from swift_train.tasks import Measure
from swift_train.template_encoder import TemplateEncoder
from swift_train.tokenise import SupervisedText, Tokeniser

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.media.rows import RowMedia
    from swift_train.options import SupervisedOptions
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase


class AnswerEncoder(TemplateEncoder):
    """Encode rows that have a prompt and answers; only the turns of the answers are supervised, not those of the prompt."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, options: SupervisedOptions, stops: Sequence[str], media: RowMedia | None
    ) -> None:
        super().__init__(Tokeniser(tokenizer), options, options.mask, stops, media)

    def answered(self, prompt: Sequence[Any], answer: Sequence[Any], row: PreferenceRow | LabelRow) -> ChatRow:
        """Return the conversation of a prompt and an answer; the assistant messages of the prompt are not supervised."""
        asked = with_default_system(tuple(prompt), self.system)
        earlier = [{**message, "loss_scale": 0} if message["role"] == "assistant" else message for message in asked]
        return ChatRow((*earlier, *answer), row.tools, variables=row.variables, unread=row.unread)

    def text(self, row: ChatRow) -> SupervisedText:
        """Return the one text of a conversation.

        Raises:
            UsageError: the chat template renders it as several.
        """
        found = self.encode(row)
        if len(found) > 1:
            raise UsageError(
                "the chat template rewrites earlier turns of this answer, so it is not one sequence",
                code="TRAIN-103",
                hint="Move all turns but the answer's last one into the prompt.",
            )
        return found[0]


def token_log_probabilities(output: Tensor, micro: Micro) -> Tensor:
    """Return the log-probability of each supervised token, (supervised,) float32."""
    return losses.log_probabilities(output, micro.labels)


def log_probabilities(output: Tensor, micro: Micro) -> Tensor:
    """Return the log-probability of each sequence's supervised tokens, (sequences,) float32."""
    return micro.sums(token_log_probabilities(output, micro))


def supervised_lengths(micro: Micro) -> Tensor:
    """Return the number of supervised tokens of each sequence, (sequences,) float32."""
    return micro.sums(torch.ones_like(micro.weights))


REFERENCE: Mapping[str, Measure] = {"reference": log_probabilities}
