"""Preference accuracy: whether the chosen answer is more probable than the rejected one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from swift_data.rows import ChatRow, PreferenceRow, normalise
from swift_evaluate.rows.files import SourceRow

from swift_core.contract import RawRow
from swift_plugin_transformers.evaluation.encoding import RowEncoder
from swift_plugin_transformers.evaluation.likelihood import total

if TYPE_CHECKING:
    from torch.nn import Module


def scores(model: Module, encoder: RowEncoder, source: SourceRow, length: int) -> Mapping[str, float]:
    """Return the accuracy by the sum of the log-likelihoods, the accuracy by their mean per token, and the margin of the sums.

    Raises:
        UsageError: the row has no chosen and rejected answer.
    """
    row = normalise(RawRow(source.data, str(source.file), source.number), ("preference",))
    assert isinstance(row, PreferenceRow)
    chosen, rejected = (
        total(model, (window for sequence in sequences for window in sequence.windows(length)))
        for answer in (row.chosen, row.rejected)
        if (sequences := encoder.conversation(ChatRow(messages=(*row.prompt, *answer), tools=row.tools)))
    )
    return {
        "accuracy": float(chosen.nll < rejected.nll),
        "accuracy_per_token": float(chosen.loss < rejected.loss),
        "margin": rejected.nll - chosen.nll,
    }
