"""Figures of a head's answers to rows with labels: accuracy, error, and the quality of rankings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from swift_data.entities import Entity, entities

from swift_serve.head_tasks import AnswerKind

_CUT = 10  # documents that NDCG looks at


def figures_of(kind: AnswerKind, lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the figures of answers, {} if they have no labels.

    Classes: `accuracy` (of lists of classes, all of them), or of numbers `mse`. Words: `accuracy`, and `precision`, `recall` and `f1` of
    entities, which are right if type and borders are (conlleval's). Rankings: `mrr` of the first relevant document, and
    `ndcg_at_10` (Järvelin and Kekäläinen 2002, doi:10.1145/582415.582418, with gains 2^label - 1), both means over the queries.
    """
    if kind == "classification":
        pairs = [found for line in lines if "expected" in line and (found := _graded(line))]
        return {name: sum(value for kind, value in pairs if kind == name) / len(pairs) for name in {kind for kind, _ in pairs}}
    if kind == "token classification":
        return _of_words([line for line in lines if "expected" in line])
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


def _of_words(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    figures: dict[str, float] = {}
    pairs = [
        (found.get(part["start"]), part["label"])
        for line in lines
        if line["words"]
        for found in [_labels(line)]
        for part in line["expected"]
    ]
    if pairs and all(isinstance(label, str) for _, label in pairs):
        figures["accuracy"] = sum(found == label for found, label in pairs) / len(pairs)
    if not lines or not all("entities" in line for line in lines):
        return figures
    right = found = true = 0
    for line in lines:
        own = {Entity(each["start"], each["end"], each["label"]) for each in line["entities"]}
        parts = [Entity(part["start"], part["end"], str(part["label"])) for part in line["expected"]]
        expected = set(entities(parts)) if line["words"] else set(parts)
        right, found, true = right + len(own & expected), found + len(own), true + len(expected)
    if found + true:
        figures |= {"precision": right / found if found else 0.0, "recall": right / true if true else 0.0, "f1": 2 * right / (found + true)}
    return figures


def _labels(line: Mapping[str, Any]) -> dict[int, str]:
    """Return the label of what begins at each place of a line's text."""
    return {token["start"]: token["label"] for token in line["tokens"]}


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
