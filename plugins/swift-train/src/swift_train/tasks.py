"""What is learned, as a forward pass and a loss: next-token prediction on text (pretrain) and on the assistant's turns (sft)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from swift_data.rows import ChatRow, TextRow, normalise
from swift_data.unread import Unread

from swift_core.contract.errors import UsageError
from swift_train.adapters import inner_model
from swift_train.losses import summed_cross_entropy
from swift_train.mask_check import MaskError, check_turns
from swift_train.masks import ChatEncoder
from swift_train.template_date import date_of, renders_date
from swift_train.tokenise import Encoded, SupervisedText, Tokeniser
from swift_train.unread import ControlTokens, UnreadFields

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

    from swift_core.contract.roles import RawRow
    from swift_train.batches import Micro
    from swift_train.options import MaskOptions, PretrainOptions, SftOptions, TrainOptions


class Encoder(Protocol):
    """Raw rows → token sequences, in two steps, so that many texts can be tokenised at once.

    `settings` are all that decides its outcome beside row and tokenizer, as JSON; `date` among them is what the chat template writes. An
    `unread` with a method `take` counts what is lost of rows (`swift_data.unread`).
    """

    tokeniser: Tokeniser
    settings: Mapping[str, Any]

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """A row's texts, and what is supervised in them. Raises UsageError for a row that the task can't take."""
        ...

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Work out a second way whether the sequences of a row are right. Raises MaskError where they are not."""
        ...


class LossTask(Protocol):
    """A task of the loop; built as `factory(options)`."""

    options: TrainOptions
    truncation: str

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: Path | None = None) -> Encoder:
        """What turns raw rows into token sequences. `stops` are end-of-turn tokens of the model's family, `media` the folder of media."""
        ...

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Call `model` itself, never its parts: DeepSpeed's and FSDP's hooks sit on the call.

        Several rows may be in it, one after the other; `micro.row_arguments` tell the model where they begin.
        """
        ...

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """Sum (not mean) of the losses of what `forward` gave, float32, each times its weight."""
        ...


class NextToken:
    """Predicts learned tokens; the head's logits are computed at their places alone, (learned, vocabulary)."""

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Logits (learned, vocabulary) at the micro-batch's positions."""
        rows = micro.row_arguments  # with a cache, transformers would not look at them
        if not _selects(model):
            logits: Tensor = model(input_ids=micro.input_ids, use_cache=False, **rows).logits
            return logits.squeeze(0).index_select(0, micro.positions)
        selected: Tensor = model(input_ids=micro.input_ids, use_cache=False, logits_to_keep=micro.positions, **rows).logits
        return selected.squeeze(0)

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """Sum of the cross entropies."""
        return summed_cross_entropy(output, micro.labels, micro.weights)


class SftTask(NextToken):
    """Learns the assistant's turns of conversations."""

    def __init__(self, options: SftOptions) -> None:
        self.options = options
        self.truncation: str = options.truncation

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: Path | None = None) -> Encoder:
        """Chat rows → tokens through the model's chat template."""
        return _Chats(tokenizer, self.options.mask, stops, media)


class PretrainTask(NextToken):
    """Learns every token of plain texts, and that they end."""

    def __init__(self, options: PretrainOptions) -> None:
        self.options = options
        self.truncation: str = options.truncation

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: Path | None = None) -> Encoder:
        """Text rows → tokens as the tokenizer begins a text, and its end token."""
        if tokenizer.eos_token_id is None:
            raise UsageError("the tokenizer has no end-of-text token", where="model", hint="Set eos_token in its tokenizer_config.json.")
        return _Texts(tokenizer)


class _Chats:
    def __init__(self, tokenizer: PreTrainedTokenizerBase, mask: MaskOptions, stops: Sequence[str], media: Path | None) -> None:
        self.tokeniser = Tokeniser(tokenizer)
        date = date_of(tokenizer) if renders_date(tokenizer) else ""
        self.settings: Mapping[str, Any] = {"rows": "chat", "mask": mask.model_dump(), "stops": list(stops), "date": date}
        self._encode, self._media = ChatEncoder(tokenizer, mask, stops), media
        self.unread = UnreadFields(self._encode.template)

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        row = self._row(raw)
        made = self._encode(row)
        self.unread.add(row)
        return made

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        if self._encode.mask.turns != "everything":
            check_turns(self._encode, self._row(raw), sequences)

    def _row(self, raw: RawRow) -> ChatRow:
        row = normalise(raw, ("chat",), media_folder=self._media)
        assert isinstance(row, ChatRow)
        return row


class _Texts:
    settings: Mapping[str, Any] = {"rows": "text"}

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokeniser = Tokeniser(tokenizer)
        self.unread, self._control = Unread(), ControlTokens(tokenizer)

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        row = normalise(raw, ("text",))
        assert isinstance(row, TextRow)
        self.unread.add(row.unread, self._control.of([row.text]))
        return [SupervisedText(row.text, (), whole=True)]

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        end = self.tokeniser.tokenizer.eos_token_id
        if any(encoded.ids[-1] != end for encoded in sequences):
            raise MaskError("a text does not end with the end-of-text token")


def _selects(model: Module) -> bool:
    """Whether logits can be had at chosen positions only: transformers' causal models can, a checkpoint's own code may not."""
    return "logits_to_keep" in inspect.signature(inner_model(model).forward).parameters
