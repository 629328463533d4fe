"""Pairs of a chosen and a rejected answer: their encoding, and metrics of their losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from swift_data.rows import ChatRow, PreferenceRow, normalise
from swift_train.mask_check import check_turns
from swift_train.tasks import Loss, SampleTask
from swift_train.tokenise import Encoded, SupervisedText

from swift_plugin_preference.answers import AnswerEncoder

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.media.rows import RowMedia
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from swift_core.contract import RawRow
    from swift_plugin_preference.options import PairOptions


class PairEncoder(AnswerEncoder):
    """Encode a preference row as two sequences, the prompt with the chosen answer and with the rejected one."""

    rows, grouped, columns = "preference", True, ()

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """Return the texts of the chosen and the rejected answer."""
        rows = self._rows(raw)
        self.unread.add(rows[0])
        return [self.text(row) for row in rows]

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Verify the masks of both sequences."""
        for row, encoded in zip(self._rows(raw), sequences, strict=True):
            check_turns(self.encode, row, [encoded])

    def _rows(self, raw: RawRow) -> list[ChatRow]:
        row = normalise(raw, ("preference",), media_folder=self.media)
        assert isinstance(row, PreferenceRow)
        return [self.answered(row.prompt, answer, row) for answer in (row.chosen, row.rejected)]


class PairTask(SampleTask):
    """A task whose loss is a mean over pairs."""

    options: PairOptions

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: RowMedia | None = None) -> PairEncoder:
        """Return the encoder of preference rows, which uses the model's chat template."""
        return PairEncoder(tokenizer, self.options, stops, media)


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
