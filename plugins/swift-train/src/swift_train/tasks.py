"""What is learned, as a forward pass and a loss: next-token prediction on text (pretrain) and on the assistant's turns (sft)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from swift_core.errors import UsageError
from swift_core.rows import TextRow, normalise
from swift_train.losses import summed_cross_entropy
from swift_train.masks import ChatEncoder, Encoded

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

    from swift_core.roles import RawRow
    from swift_train.batches import Micro
    from swift_train.options import PretrainOptions, SftOptions, TrainOptions


class LossTask(Protocol):
    """A task of the loop; built as `factory(options)`."""

    options: TrainOptions
    truncation: str

    def encoder(self, tokenizer: PreTrainedTokenizerBase) -> Callable[[RawRow], Sequence[Encoded]]:
        """What turns a raw row into token sequences; it raises UsageError for a row that the task can't take."""
        ...

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Call `model` itself, never its parts: DeepSpeed's and FSDP's hooks sit on the call."""
        ...

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """Sum (not mean) of the losses of what `forward` gave, float32, each times its weight."""
        ...


class NextToken:
    """Predicts learned tokens; the head's logits are computed at their places alone, (learned, vocabulary)."""

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Logits (learned, vocabulary) at the micro-batch's positions."""
        several = {"position_ids": micro.position_ids} if len(micro.rows) > 1 else {}  # they tell transformers where rows begin
        if not _selects(model):
            logits: Tensor = model(input_ids=micro.input_ids, use_cache=False, **several).logits
            return logits.squeeze(0).index_select(0, micro.positions)
        selected: Tensor = model(input_ids=micro.input_ids, use_cache=False, logits_to_keep=micro.positions, **several).logits
        return selected.squeeze(0)

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """Sum of the cross entropies."""
        return summed_cross_entropy(output, micro.labels, micro.weights)


class SftTask(NextToken):
    """Learns the assistant's turns of conversations."""

    def __init__(self, options: SftOptions) -> None:
        self.options = options
        self.truncation: str = options.truncation

    def encoder(self, tokenizer: PreTrainedTokenizerBase) -> Callable[[RawRow], Sequence[Encoded]]:
        """Chat rows → tokens through the model's chat template."""
        encode = ChatEncoder(tokenizer, self.options.mask)

        def rows(raw: RawRow) -> Sequence[Encoded]:
            row = normalise(raw, ("chat",))
            assert not isinstance(row, TextRow)
            return encode(row)

        return rows


class PretrainTask(NextToken):
    """Learns every token of plain texts, and that they end."""

    def __init__(self, options: PretrainOptions) -> None:
        self.options = options
        self.truncation: str = options.truncation

    def encoder(self, tokenizer: PreTrainedTokenizerBase) -> Callable[[RawRow], Sequence[Encoded]]:
        """Text rows → tokens as the tokenizer begins a text, and its end token."""
        end: Any = tokenizer.eos_token_id
        if end is None:
            raise UsageError("the tokenizer has no end-of-text token", where="model", hint="Set eos_token in its tokenizer_config.json.")

        def rows(raw: RawRow) -> Sequence[Encoded]:
            row = normalise(raw, ("text",))
            assert isinstance(row, TextRow)
            ids = list(tokenizer(row.text)["input_ids"])
            ids += [end] if ids[-1:] != [end] else []
            return [Encoded(ids, [True] * len(ids))]

        return rows


def _selects(model: Module) -> bool:
    """Whether logits can be had at chosen positions only: transformers' causal models can, a checkpoint's own code may not."""
    from transformers import PreTrainedModel

    proper = next(part for part in model.modules() if isinstance(part, PreTrainedModel))
    return "logits_to_keep" in inspect.signature(proper.forward).parameters
