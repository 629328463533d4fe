"""Tasks of the training loop, each an encoder, a forward pass and a loss: next-token prediction on text (pretrain) and chats (sft)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import torch
from swift_data.unread import Unread

from swift_core.contract import UsageError
from swift_train.anchored_loss import ASFT, anchor_divergence
from swift_train.embedding_noise import embedding_noise
from swift_train.encoders import ChatEncoder, TextEncoder
from swift_train.head_loss import HeadLoss
from swift_train.losses import summed_cross_entropy
from swift_train.router_loss import router_loss, weight_of, with_router_loss
from swift_train.scored_logits import scored_logits
from swift_train.token_losses import is_cross_entropy, summed_loss
from swift_train.tokenise import Encoded, SupervisedText, Tokeniser

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

    from swift_core.contract import RawRow
    from swift_train.batches import Micro
    from swift_train.media.rows import RowMedia
    from swift_train.options import PretrainOptions, ScoreOptions, SftOptions, SupervisedOptions, TrainOptions
    from swift_train.samples import Samples
    from swift_train.scoring import Step


class Encoder(Protocol):
    """Encode raw rows as token sequences, in two steps, so that many texts can be tokenised in one batch.

    Attributes:
        tokeniser: encodes the texts.
        settings: everything beside row and tokenizer that determines the result, as JSON; `date` is the one that the chat template renders.
    """

    tokeniser: Tokeniser
    settings: Mapping[str, Any]

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """Return a row's texts with their supervised spans. Raises UsageError for a row that the task can't use."""
        ...

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Verify the sequences of a row by an independent computation. Raises MaskError if they are wrong."""
        ...


class UnreadCounter(Protocol):
    """Counts the fields of rows that are not used."""

    def take(self) -> Unread:
        """Return the counts since the last call, and reset them."""
        ...


@runtime_checkable
class CountingEncoder(Encoder, Protocol):
    """An encoder that counts the fields of rows that are not used; they are reported to the user."""

    @property
    def unread(self) -> UnreadCounter:
        """The counter."""
        ...


@runtime_checkable
class GroupedEncoder(Encoder, Protocol):
    """An encoder whose rows have numbers beside their tokens, or several sequences that are never separated.

    Attributes:
        grouped: the sequences of a row are one sample.
        columns: names of the numbers in `SupervisedText.columns`.
    """

    grouped: bool
    columns: tuple[str, ...]


@runtime_checkable
class OwnTokenEncoder(Encoder, Protocol):
    """An encoder that marks the tokens whose own outputs are used, not those after an output.

    Attributes:
        marks: what the outputs are used for, in a few words.
    """

    marks: str


class Loss(NamedTuple):
    """The sum of the weighted losses of a micro-batch, float32, and metrics by name, each as a sum and the count it is a mean over."""

    sum: Tensor
    metrics: Mapping[str, tuple[Tensor, Tensor]] = {}


Measure = Callable[["Tensor", "Micro"], "Tensor"]  # (output of `forward`, micro-batch) -> (sequences,) float32


class ForwardLoss(Protocol):
    """A forward pass, and the summed loss of its output: what a strategy runs."""

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Return the output of the forward pass."""
        ...

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """Return the sum of the weighted losses, float32."""
        ...


class LossTask(Protocol):
    """A task of the training loop, built as `factory(options)`.

    Attributes:
        options: the task's options.
        truncation: how rows longer than `max_length` are handled.
        reference: columns that the model computes once, before the first step, by name: log-probabilities of the reference policy, …
        whole_rows: why tokens with which several rows begin can't be computed once (`swift_train.shared_prefixes`): something depends on
            tokens without a scored output. Empty if nothing does.
    """

    options: TrainOptions
    truncation: str
    reference: Mapping[str, Measure]
    whole_rows: str

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: RowMedia | None = None) -> Encoder:
        """Return the encoder of raw rows. `stops` are end-of-turn tokens of the model's family, `media` how media are read."""
        ...

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Run the forward pass by calling `model` itself, never its submodules: DeepSpeed's and FSDP's hooks are on the call.

        A micro-batch may hold several rows, concatenated; `micro.row_arguments` pass their boundaries to the model.
        """
        ...

    def loss(self, output: Tensor, micro: Micro) -> Tensor | Loss:
        """Return the sum (not the mean) of the weighted losses for the output of `forward`, float32, with metrics if there are any."""
        ...

    def arrange(self, samples: Samples) -> Samples:
        """Return the samples to train on: these, or ones with more sequences."""
        ...

    def count(self, samples: Samples, rows: Sequence[int]) -> float:
        """Return what the loss of a step is a mean over: the number of supervised tokens, of pairs, … in these samples."""
        ...

    def prepare(self, step: Step, micros: Sequence[Micro]) -> Sequence[Micro]:
        """Return the micro-batches of a step with more columns, computed by forward passes without gradients. Collective."""
        ...

    def evaluated_together(self, per_step: int) -> int | None:
        """Return how many held-out rows `prepare` must get at once; None for any number. `per_step` are the rows of a training step."""
        ...

    def write_files(self, folder: Path, model: Any) -> None:
        """Add files of the task to a checkpoint that is being written; `folder` has those of `model`, the transformers model."""
        ...


@runtime_checkable
class FusedLossTask(LossTask, Protocol):
    """A task that can compute forward pass and loss as one, without the logits of all supervised tokens in memory."""

    def forward_loss(self, model: Module, micro: Micro) -> Tensor | Loss:
        """Return what `loss` returns for the output of `forward`."""
        ...


@runtime_checkable
class WarningTask(LossTask, Protocol):
    """A task that knows when its training rows can't teach what it is for."""

    def warnings(self, samples: Samples) -> Sequence[str]:
        """Return what is wrong with the training rows as a whole, such as labels of one kind only; they are noted before the first step."""
        ...


class NextToken:
    """Next-token prediction; logits are computed only at supervised positions, (supervised, vocabulary)."""

    reference: Mapping[str, Measure] = {}
    whole_rows: str = ""

    def arrange(self, samples: Samples) -> Samples:
        """Return the samples unchanged."""
        return samples

    def count(self, samples: Samples, rows: Sequence[int]) -> float:
        """Return the number of supervised tokens."""
        return float(samples.supervised[list(rows)].sum())

    def prepare(self, step: Step, micros: Sequence[Micro]) -> Sequence[Micro]:
        """Return the micro-batches unchanged."""
        return micros

    def evaluated_together(self, per_step: int) -> int | None:
        """Return None: nothing is computed from several rows."""
        return None

    def write_files(self, folder: Path, model: Any) -> None:
        """Add nothing."""

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Return the logits at the micro-batch's supervised positions, (supervised, vocabulary)."""
        return scored_logits(model, micro)[0]

    def loss(self, output: Tensor, micro: Micro) -> Tensor | Loss:
        """Return the weighted sum of the cross entropies."""
        return summed_cross_entropy(output, micro.labels, micro.weights)


class SampleTask(NextToken):
    """A task whose loss is a mean over samples, such as pairs of answers, instead of supervised tokens; a base class."""

    def __init__(self, options: SupervisedOptions | ScoreOptions) -> None:
        self.options: TrainOptions = options
        self.truncation: str = options.truncation

    def count(self, samples: Samples, rows: Sequence[int]) -> float:
        """Return the number of samples."""
        return float(len(rows))


class TokenTask(NextToken):
    """A task whose loss is a mean over supervised tokens, each with the loss that `LossOptions` choose; a base class."""

    def __init__(self, options: SftOptions | PretrainOptions) -> None:
        self.options = options
        self.truncation: str = options.truncation
        self.anchored: bool = options.loss_type == ASFT
        self.anchor: Module | None = None  # a frozen copy of the base
        self._anchored: Tensor | None = None  # its logits in the last forward pass
        self._balance: tuple[Tensor, float] | None = None  # loss of the routers in the last forward pass, and its weight
        own = type(self).forward is TokenTask.forward and type(self).loss is TokenTask.loss  # a task that derives from it may have others
        plain = own and is_cross_entropy(options) and not (options.compile or options.router_loss)
        self._in_head = HeadLoss() if plain else None
        if options.router_loss or options.neftune_noise_alpha:
            self.whole_rows = f"{'router_loss' if options.router_loss else 'neftune_noise_alpha'} depends on every token of a row"

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Return the logits at the micro-batch's supervised positions, (supervised, vocabulary)."""
        self._balance = self._anchored = None
        if self.anchor is not None and model.training:
            with torch.no_grad():
                self._anchored = scored_logits(self.anchor, micro.separate())[0]
        with embedding_noise(model, micro, self.options.neftune_noise_alpha):
            if not self.options.router_loss or not model.training:
                return super().forward(model, micro)
            logits, output = scored_logits(model, micro, output_router_logits=True)
            self._balance = router_loss(output), weight_of(self.options.router_loss, model)
            return logits

    def forward_loss(self, model: Module, micro: Micro) -> Tensor | Loss:
        """Return the weighted sum of the losses of the supervised tokens; the head computes it by chunks if the model allows that."""
        if self._in_head is None or not self._in_head.applies_to(model, micro):
            return self.loss(self.forward(model, micro), micro)
        with embedding_noise(model, micro, self.options.neftune_noise_alpha):
            return self._in_head(model, micro)

    def loss(self, output: Tensor, micro: Micro) -> Tensor | Loss:
        """Return the weighted sum of the losses of the supervised tokens."""
        total = summed_loss(output, micro.labels, micro.weights, self.options)
        if self._anchored is not None:
            drift = anchor_divergence(output, self._anchored, micro.weights)
            return Loss(total + self.options.asft_alpha * drift, {"drift": (drift.detach(), micro.weights.sum())})
        return Loss(*with_router_loss(total, micro, *self._balance)) if self._balance else total


class SftTask(TokenTask):
    """Supervised fine-tuning on the assistant's turns of conversations."""

    options: SftOptions

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: RowMedia | None = None) -> Encoder:
        """Return the encoder of chat rows, which uses the model's chat template."""
        return ChatEncoder(Tokeniser(tokenizer), self.options, self.options.mask, stops, media)


class PretrainTask(TokenTask):
    """Pre-training on every token of plain texts, including the end-of-text token."""

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: RowMedia | None = None) -> Encoder:
        """Return the encoder of text rows, with the tokenizer's start and end-of-text tokens."""
        if tokenizer.eos_token_id is None:
            hint = "Set eos_token in its tokenizer_config.json."
            raise UsageError("the tokenizer has no end-of-text token", code="TRAIN-072", where="model", hint=hint)
        return TextEncoder(tokenizer)
