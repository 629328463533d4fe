"""Reward models: a score for an answer, learned from preference pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_data.rows import ChatRow, PreferenceRow, normalise
from swift_formats.head_facts import HeadFacts, write_head_facts
from swift_train.score_task import ConversationEncoder, ScoreTask
from swift_train.tasks import Loss
from torch.nn.functional import logsigmoid

from swift_core.contract import UsageError
from swift_plugin_preference.pairs import pair_loss, pairs

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.media.rows import RowMedia
    from swift_train.tokenise import Encoded, SupervisedText
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from swift_core.contract import RawRow
    from swift_plugin_preference.options import RmOptions

_MARGIN = "margin"  # field of a row, and column


class RewardEncoder(ConversationEncoder):
    """Encode a preference row as two sequences, with the row's `margin` (0 if it has none) as a column."""

    rows, grouped, columns = "preference", True, (_MARGIN,)

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """Return the texts of the chosen and the rejected answer."""
        row = normalise(raw, ("preference",), media_folder=self.media)
        assert isinstance(row, PreferenceRow)
        unread = tuple(name for name in row.unread if name != _MARGIN)
        rows = [ChatRow((*row.prompt, *answer), row.tools, variables=row.variables, unread=unread) for answer in (row.chosen, row.rejected)]
        self.unread.add(rows[0])
        return [self.text(chat, (_margin(raw),)) for chat in rows]

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Check that both sequences are scored at their last token."""
        self.check_scored(sequences)


class Rm(ScoreTask):
    """A reward model by Bradley and Terry, with margins as in Llama 2 (Touvron et al. 2023, https://arxiv.org/abs/2307.09288).

    The regularisation that centers the scores at 0 is Eisenstein et al. 2023, https://arxiv.org/abs/2312.09244.
    """

    options: RmOptions
    _encoder: RewardEncoder

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: RowMedia | None = None) -> RewardEncoder:
        """Return the encoder of preference rows, which uses the model's chat template."""
        self._encoder = RewardEncoder(tokenizer, self.options, stops, media)
        return self._encoder

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return the sum of the losses of the pairs, and metrics."""
        chosen, rejected = pairs(output.float())
        margin = pairs(micro.columns[_MARGIN])[0]
        losses = -logsigmoid(chosen - rejected - margin) + self.options.center_rewards_coefficient * (chosen + rejected) ** 2
        return pair_loss(losses, chosen, rejected, micro)

    def write_files(self, folder: Path, model: Any) -> None:
        """Add what the number means: a reward as it is, of a conversation."""
        write_head_facts(
            folder, HeadFacts(("reward",), "none", "text" if self._encoder.plain else "chat", self.options.system, "regression")
        )


def _margin(raw: RawRow) -> float:
    value = raw.data.get(_MARGIN)
    if value is None or value == "":
        return 0.0
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        where = f"{raw.file}, row {raw.number}, $.{_MARGIN}"
        raise UsageError(f"the margin must be a finite number, not {value!r}", code="DATA-160", where=where, hint="Correct it, or omit it.")
    return number
