"""Pairs of a chosen and a rejected answer: their encoding, the log-probabilities of the answers, and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from swift_data.rows import ChatRow, PreferenceRow, normalise
from swift_train.mask_check import check_turns
from swift_train.masks import ChatEncoder
from swift_train.tasks import Loss, Measure, NextToken
from swift_train.template_date import date_of, renders_date
from swift_train.tokenise import Encoded, SupervisedText, Tokeniser
from swift_train.unread import UnreadFields

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.options import MaskOptions
    from swift_train.samples import Samples
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from swift_core.contract import RawRow
    from swift_plugin_preference.options import PairOptions


class PairEncoder:
    """Encode a preference row as two sequences, the prompt with the chosen answer and with the rejected one.

    Only the turns of the answers are supervised, not those of the prompt.
    """

    grouped, columns = True, ()

    def __init__(self, tokenizer: PreTrainedTokenizerBase, mask: MaskOptions, stops: Sequence[str], media: Path | None) -> None:
        self.tokeniser = Tokeniser(tokenizer)
        date = date_of(tokenizer) if renders_date(tokenizer) else ""
        self.settings: Mapping[str, Any] = {"rows": "preference", "mask": mask.model_dump(), "stops": list(stops), "date": date}
        self._encode, self._media = ChatEncoder(tokenizer, mask, stops), media
        self.unread = UnreadFields(self._encode.template)

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """Return the texts of the chosen and the rejected answer."""
        made = [text for row in self._rows(raw) for text in self._text(row)]
        self.unread.add(self._rows(raw)[0])
        return made

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Verify the masks of both sequences."""
        for row, encoded in zip(self._rows(raw), sequences, strict=True):
            check_turns(self._encode, row, [encoded])

    def _rows(self, raw: RawRow) -> list[ChatRow]:
        row = normalise(raw, ("preference",), media_folder=self._media)
        assert isinstance(row, PreferenceRow)
        prompt = [{**message, "loss_scale": 0} if message["role"] == "assistant" else message for message in row.prompt]
        answers = (row.chosen, row.rejected)
        return [ChatRow((*prompt, *answer), row.tools, variables=row.variables, unread=row.unread) for answer in answers]

    def _text(self, row: ChatRow) -> list[SupervisedText]:
        found = self._encode(row)
        if len(found) > 1:
            raise UsageError(
                "the chat template rewrites earlier turns of this answer, so it is not one sequence",
                code="TRAIN-103",
                hint="Move all turns but the answer's last one into the prompt.",
            )
        return found


class PairTask(NextToken):
    """A task whose loss is a mean over pairs."""

    def __init__(self, options: PairOptions) -> None:
        self.options = options
        self.truncation: str = options.truncation

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: Path | None = None) -> PairEncoder:
        """Return the encoder of preference rows, which uses the model's chat template."""
        return PairEncoder(tokenizer, self.options.mask, stops, media)

    def count(self, samples: Samples, rows: Sequence[int]) -> float:
        """Return the number of pairs."""
        return float(len(rows))


def token_log_probabilities(output: Tensor, micro: Micro) -> Tensor:
    """Return the log-probability of each supervised token, (supervised,) float32."""
    return torch.log_softmax(output, -1, dtype=torch.float32).gather(1, micro.labels[:, None]).squeeze(1)


def log_probabilities(output: Tensor, micro: Micro) -> Tensor:
    """Return the log-probability of each sequence's supervised tokens, (sequences,) float32."""
    return micro.sums(token_log_probabilities(output, micro))


def supervised_lengths(micro: Micro) -> Tensor:
    """Return the number of supervised tokens of each sequence, (sequences,) float32."""
    return micro.sums(torch.ones_like(micro.weights))


def pairs(values: Tensor) -> tuple[Tensor, Tensor]:
    """Split a number per sequence into those of the chosen and of the rejected answers, (pairs,) each."""
    chosen, rejected = values.view(-1, 2).unbind(1)
    return chosen, rejected


def pair_loss(losses: Tensor, chosen: Tensor, rejected: Tensor, micro: Micro, **more: Tensor) -> Loss:
    """Return the sum of the pairs' losses, with metrics under TRL's names.

    Args:
        losses: (pairs,).
        chosen, rejected: implicit rewards, (pairs,).
        micro: the micro-batch.
        more: further metrics, (pairs,).
    """
    weights = micro.sample_weights
    margin = (chosen - rejected).detach()
    values = {
        "rewards/chosen": chosen.detach(),
        "rewards/rejected": rejected.detach(),
        "rewards/margins": margin,
        "rewards/accuracies": (margin > 0).float(),
        **{name: value.detach() for name, value in more.items()},
    }
    return Loss((losses * weights).sum(), {name: ((value * weights).sum(), weights.sum()) for name, value in values.items()})


REFERENCE: Mapping[str, Measure] = {"reference": log_probabilities}
