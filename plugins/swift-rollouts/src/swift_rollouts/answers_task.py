"""Base of tasks on sampled answers: prompts as rows, and logits of the sampled tokens without dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from swift_train.tasks import NextToken

from swift_rollouts.dropout import without_dropout
from swift_rollouts.prompts import PromptEncoder

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.media.rows import RowMedia
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

    from swift_rollouts.options import RolloutOptions


class AnswersTask(NextToken):
    """Base of tasks that train on sampled answers to prompts."""

    def __init__(self, options: RolloutOptions) -> None:
        self.options = options
        self.truncation: str = options.truncation
        self._without_dropout: Module | None = None

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: RowMedia | None = None) -> PromptEncoder:
        """Return the encoder of prompts, which uses the model's chat template."""
        return PromptEncoder(tokenizer, self.options, stops, media)

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Return the logits of the sampled tokens; dropout is off, so that a policy is compared with itself."""
        self.turn_dropout_off(model)
        return super().forward(model, micro)

    def turn_dropout_off(self, model: Module) -> None:
        """Turn the dropout of a model off, once."""
        if self._without_dropout is not model:
            without_dropout(model)
            self._without_dropout = model
