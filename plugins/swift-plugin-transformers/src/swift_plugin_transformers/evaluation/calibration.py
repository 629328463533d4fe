"""Calibration on multiple-choice rows: how often the model is right, compared with how probable it finds its choice.

Source of the expected calibration error: C. Guo et al., "On calibration of modern neural networks" (2017).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence as Rows
from itertools import islice

from swift_evaluate.rows.choices import Choices, choices_of
from swift_evaluate.rows.files import SourceRow

from swift_core.contract import UsageError
from swift_plugin_transformers.evaluation.encoding import Sequence
from swift_plugin_transformers.evaluation.likelihood import totals
from swift_plugin_transformers.evaluation.tasks import Estimates, Numbers, Result, Task


class Calibration(Task):
    """Accuracy, the probability of the best choice among the choices, the Brier score, and the expected calibration error."""

    lower_is_better = ("calibration_error", "brier")

    def results(self, rows: Rows[SourceRow]) -> Iterator[Result]:
        """Yield the scores of each row.

        Raises:
            UsageError: a row has no question and choices, or its answer is none of them.
        """
        found = [_choices(row) for row in rows]
        windows = [window for row, choices in zip(rows, found, strict=True) for window in self._windows(row, choices)]
        likelihoods = iter(totals(self.subject.model, windows))
        for choices in found:
            each = {letter: -total.nll for letter, total in zip(choices.texts, islice(likelihoods, len(choices.texts)), strict=True)}
            yield Result(scores(each, choices.right))

    def estimates(self, scored: Rows[Numbers]) -> Estimates:
        """Return the expected calibration error."""
        return {"calibration_error": (expected_error(scored, self.subject.options.bins), None)}

    def _windows(self, row: SourceRow, choices: Choices) -> Iterator[Sequence]:
        """Yield the question with each of its letters."""
        encoder = self.subject.encoder
        asked = f"{row.data['question']}\n{choices.listed()}\nAnswer:"
        prompt = encoder.tokenizer(asked, add_special_tokens=False, verbose=False)["input_ids"]
        for letter in choices.texts:
            answer = encoder.tokenizer(f" {letter}", add_special_tokens=False)["input_ids"]
            yield Sequence([encoder.first, *prompt, *answer], [True] * len(answer))


def scores(likelihoods: Mapping[str, float], right: str) -> dict[str, float]:
    """Return the scores of a question from the log-likelihood of each choice."""
    top = max(likelihoods.values())
    whole = sum(math.exp(value - top) for value in likelihoods.values())
    probabilities = {letter: math.exp(value - top) / whole for letter, value in likelihoods.items()}
    best = max(probabilities, key=lambda letter: probabilities[letter])
    brier = sum((probability - (letter == right)) ** 2 for letter, probability in probabilities.items())
    return {"accuracy": float(best == right), "confidence": probabilities[best], "brier": brier}


def expected_error(rows: Rows[Mapping[str, float]], bins: int) -> float:
    """Return the expected calibration error over bins of equal width."""
    found: dict[int, list[Mapping[str, float]]] = {}
    for row in rows:
        found.setdefault(min(int(row["confidence"] * bins), bins - 1), []).append(row)
    return math.fsum(abs(math.fsum(row["accuracy"] - row["confidence"] for row in each)) for each in found.values()) / len(rows)


def _choices(row: SourceRow) -> Choices:
    try:
        choices = choices_of(row.data)
    except ValueError as error:
        raise UsageError(str(error), code="EVAL-062", where=row.where, hint="Fix the row.") from error
    if choices is None or "question" not in row.data:
        raise UsageError(
            "the row has no question with choices", code="EVAL-063", where=row.where, hint="Rows need question, choices and answer."
        )
    return choices
