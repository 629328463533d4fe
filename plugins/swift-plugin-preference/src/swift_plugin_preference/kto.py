"""Kahneman-Tversky optimization: answers that are labelled good or bad, one by one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from swift_data.rows import ChatRow, LabelRow, normalise
from swift_train.mask_check import check_turns
from swift_train.tasks import Loss, SampleTask
from swift_train.tokenise import Encoded, SupervisedText

from swift_core.contract import UsageError
from swift_plugin_preference.answers import REFERENCE, AnswerEncoder, log_probabilities
from swift_plugin_preference.mismatched import Mismatched

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.media.rows import RowMedia
    from swift_train.samples import Samples
    from swift_train.scoring import Step
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from swift_core.contract import RawRow
    from swift_plugin_preference.options import KtoOptions


class LabelEncoder(AnswerEncoder):
    """Encode a label row: the last answer of the conversation, with its label as a column (1 good, 0 bad)."""

    rows, grouped, columns = "label", False, ("label",)

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """Return the text of the conversation."""
        row, label = self._row(raw)
        self.unread.add(row)
        return [self.text(row)._replace(columns=(float(label),))]

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Verify the mask."""
        check_turns(self.encode, self._row(raw)[0], sequences)

    def _row(self, raw: RawRow) -> tuple[ChatRow, bool]:
        row = normalise(raw, ("label",), media_folder=self.media)
        assert isinstance(row, LabelRow)
        if row.label not in (True, False):  # 1 and 0 are equal to them
            raise UsageError(
                f"the label is {row.label!r}; this task needs true for a good answer, or false for a bad one",
                code="TRAIN-104",
                where=f"{raw.file}, row {raw.number}",
                hint="Set it to true or false, or train a classifier.",
            )
        return self.answered(row.messages[:-1], row.messages[-1:], row), bool(row.label)


class Kto(SampleTask):
    """Kahneman-Tversky optimization (Ethayarajh et al. 2024, https://arxiv.org/abs/2402.01306).

    Each sample has a second sequence, its prompt with another sample's answer, from which the divergence from the reference is estimated:
    over all sequences of a step on all ranks, so that it depends neither on the micro-batch size nor on the number of ranks.
    """

    options: KtoOptions
    reference = REFERENCE

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: RowMedia | None = None) -> LabelEncoder:
        """Return the encoder of label rows, which uses the model's chat template."""
        return LabelEncoder(tokenizer, self.options, stops, media)

    def warnings(self, samples: Samples) -> list[str]:
        """Say that all labels are of one kind."""
        if len(kinds := set(samples.column("label").tolist())) > 1:
            return []
        kind, way = ("good", "swift sft trains on good answers") if kinds == {1.0} else ("bad", "nothing is learned of good answers")
        return [f"all {len(samples)} rows are labelled {kind}, and KTO learns from the difference of good and bad ones; {way}"]

    def arrange(self, samples: Samples) -> Samples:
        """Add the second sequence to each sample."""
        return Mismatched(samples, self.options.seed)

    def evaluated_together(self, per_step: int) -> int:
        """Return a number that no set of rows has: the divergence is estimated over all of them."""
        return sys.maxsize

    def prepare(self, step: Step, micros: Sequence[Micro]) -> Sequence[Micro]:
        """Estimate the divergence, and return the micro-batches with the rows' own sequences only."""
        second = [torch.arange(len(micro.sample)) % 2 == 1 for micro in micros]
        mismatched = [micro.only(chosen) for micro, chosen in zip(micros, second, strict=True)]
        total = count = 0.0
        for micro, found in zip(mismatched, step.score(mismatched, log_probabilities), strict=False):  # no output before the last stage
            total += float(((found - micro.columns["reference"]) * micro.sample_weights).sum())
            count += float(micro.sample_weights.sum())
        divergence = max(0.0, step.reduce(total, "sum") / max(1.0, step.reduce(count, "sum")))
        own = [micro.only(~chosen) for micro, chosen in zip(micros, second, strict=True)]
        return [replace(micro, columns={**micro.columns, "kl": torch.full((len(micro.sample),), divergence)}) for micro in own]

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return the sum of the losses of the rows, and metrics under TRL's names."""
        options, weights, kl = self.options, micro.sample_weights, micro.columns["kl"]
        good = micro.columns["label"] > 0
        ratio = log_probabilities(output, micro) - micro.columns["reference"]
        gain = options.beta * torch.where(good, ratio - kl, kl - ratio)
        losses = torch.where(good, options.desirable_weight, options.undesirable_weight) * (1 - torch.sigmoid(gain))
        rewards = options.beta * ratio.detach()
        metrics = {"kl": (kl * weights, weights)}
        for name, mask in (("chosen", good * weights), ("rejected", ~good * weights)):
            metrics[f"rewards/{name}"] = (rewards * mask, mask)
        return Loss((losses * weights).sum(), {name: (total.sum(), count.sum()) for name, (total, count) in metrics.items()})
