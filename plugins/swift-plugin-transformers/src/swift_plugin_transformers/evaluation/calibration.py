"""Calibration on multiple-choice rows: how often the model is right, compared with how probable it finds its choice.

Source of the expected calibration error: C. Guo et al., "On calibration of modern neural networks" (2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from swift_evaluate.rows.choices import choices_of
from swift_evaluate.rows.files import SourceRow

from swift_core.contract import UsageError
from swift_plugin_transformers.evaluation.encoding import RowEncoder, Sequence as Tokens
from swift_plugin_transformers.evaluation.likelihood import total

if TYPE_CHECKING:
    from torch.nn import Module


def scores(model: Module, encoder: RowEncoder, row: SourceRow) -> Mapping[str, float]:
    """Return accuracy, the probability of the best choice among the choices, and the Brier score.

    Raises:
        UsageError: the row has no question and choices, or its answer is none of them.
    """
    try:
        choices = choices_of(row.data)
    except ValueError as error:
        raise UsageError(str(error), code="EVAL-062", where=row.where, hint="Fix the row.") from error
    if choices is None or "question" not in row.data:
        raise UsageError(
            "the row has no question with choices", code="EVAL-063", where=row.where, hint="Rows need question, choices and answer."
        )
    prompt = encoder.tokenizer(f"{row.data['question']}\n{choices.listed()}\nAnswer:", add_special_tokens=False, verbose=False)["input_ids"]
    likelihoods = {}
    for letter in choices.texts:
        answer = encoder.tokenizer(f" {letter}", add_special_tokens=False)["input_ids"]
        likelihoods[letter] = -total(model, [Tokens([encoder.first, *prompt, *answer], [True] * len(answer))]).nll
    top = max(likelihoods.values())
    whole = sum(math.exp(value - top) for value in likelihoods.values())
    probabilities = {letter: math.exp(value - top) / whole for letter, value in likelihoods.items()}
    best = max(probabilities, key=lambda letter: probabilities[letter])
    brier = sum((probability - (letter == choices.right)) ** 2 for letter, probability in probabilities.items())
    return {"accuracy": float(best == choices.right), "confidence": probabilities[best], "brier": brier}


def expected_error(rows: Sequence[Mapping[str, float]], bins: int) -> float:
    """Return the expected calibration error over bins of equal width."""
    found: dict[int, list[Mapping[str, float]]] = {}
    for row in rows:
        found.setdefault(min(int(row["confidence"] * bins), bins - 1), []).append(row)
    return math.fsum(abs(math.fsum(row["accuracy"] - row["confidence"] for row in each)) for each in found.values()) / len(rows)
