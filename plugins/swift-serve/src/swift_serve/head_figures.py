"""Figures of a head's answers to rows with labels: accuracy, error, and the quality of rankings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from swift_serve.head_tasks import AnswerKind

_CUT = 10  # documents that NDCG looks at


def figures_of(kind: AnswerKind, lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the figures of answers, {} if they have no labels.

    Classes: `accuracy` (of lists of classes, all of them), or of numbers `mse`. Rankings: `mrr` of the first relevant document, and
    `ndcg_at_10` (Järvelin and Kekäläinen 2002, doi:10.1145/582415.582418, with gains 2^label - 1), both means over the queries.
    """
    if kind == "classification":
        pairs = [found for line in lines if "expected" in line and (found := _graded(line))]
        return {name: sum(value for kind, value in pairs if kind == name) / len(pairs) for name in {kind for kind, _ in pairs}}
    if kind == "reranking":
        ranked = [(line["scores"], line["labels"]) for line in lines if any(line["labels"])]
        if not ranked:
            return {}
        rankings = {"mrr": [reciprocal_rank(*each) for each in ranked], "ndcg_at_10": [ndcg(*each) for each in ranked]}
        return {name: sum(values) / len(values) for name, values in rankings.items()}
    return {}


def reciprocal_rank(scores: Sequence[float], labels: Sequence[float]) -> float:
    """Return 1 over the rank of the first relevant document (label above 0); equal scores count against it."""
    best = max(score for score, label in zip(scores, labels, strict=True) if label > 0)
    return 1 / (1 + sum(score >= best and label <= 0 for score, label in zip(scores, labels, strict=True)))


def ndcg(scores: Sequence[float], labels: Sequence[float], cut: int = _CUT) -> float:
    """Return the normalised discounted cumulative gain of a ranking; equal scores are ordered with the worse document first."""
    order = sorted(range(len(scores)), key=lambda place: (-scores[place], labels[place]))
    return _gain([labels[place] for place in order[:cut]]) / _gain(sorted(labels, reverse=True)[:cut])


def _gain(labels: Sequence[float]) -> float:
    return sum((2**label - 1) / math.log2(place + 2) for place, label in enumerate(labels))


def _graded(line: Mapping[str, Any]) -> tuple[str, float] | None:
    """Return the name and the value of a line's figure."""
    expected, probs = line["expected"], line["probs"]
    if isinstance(expected, float) or (len(probs) == 1 and not isinstance(expected, str | list)):
        return "mse", (probs[0] - float(expected)) ** 2
    if isinstance(expected, list):
        if any(isinstance(each, float) for each in expected):
            return "mse", sum((one - other) ** 2 for one, other in zip(probs, expected, strict=True)) / len(probs)
        return "accuracy", float({place for place, value in enumerate(probs) if value > 0.5} == {int(each) for each in expected})
    best = max(range(len(probs)), key=probs.__getitem__)
    return "accuracy", float(expected in (line["label"], best, str(best)))
