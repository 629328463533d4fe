"""Preference accuracy: whether the chosen answer is more probable than the rejected one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence as Rows
from itertools import islice

from swift_data.rows import ChatRow, PreferenceRow, normalise
from swift_evaluate.rows.files import SourceRow

from swift_core.contract import RawRow
from swift_plugin_transformers.evaluation.encoding import Sequence
from swift_plugin_transformers.evaluation.likelihood import totals
from swift_plugin_transformers.evaluation.tasks import Result, Task


class Preference(Task):
    """Accuracy by the sum of the log-likelihoods and by their mean per token, and the margin of the sums."""

    def results(self, rows: Rows[SourceRow]) -> Iterator[Result]:
        """Yield the scores of each row.

        Raises:
            UsageError: a row has no chosen and rejected answer.
        """
        encoded = [answer for row in rows for answer in self._answers(row)]
        found = iter(totals(self.subject.model, [window for windows in encoded for window in windows]))
        sums = []
        for windows in encoded:
            first, *others = islice(found, len(windows))
            sums.append(sum(others, first))
        for chosen, rejected in zip(sums[::2], sums[1::2], strict=True):
            yield Result(
                {
                    "accuracy": float(chosen.nll < rejected.nll),
                    "accuracy_per_token": float(chosen.loss < rejected.loss),
                    "margin": rejected.nll - chosen.nll,
                }
            )

    def _answers(self, source: SourceRow) -> Iterator[list[Sequence]]:
        """Yield the windows of the chosen answer, then those of the rejected one."""
        row = normalise(RawRow(source.data, str(source.file), source.number), ("preference",))
        assert isinstance(row, PreferenceRow)
        for answer in (row.chosen, row.rejected):
            sequences = self.subject.last_turn.conversation(ChatRow(messages=(*row.prompt, *answer), tools=row.tools))
            yield [window for sequence in sequences for window in sequence.windows(self.subject.options.max_length)]
