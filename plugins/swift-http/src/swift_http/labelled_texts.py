"""Answers of token classifiers: the label of each word or token of a text, and the named entities that the labels make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swift_http.head_engine import LabelledText


def labelled(text: str, found: LabelledText, labels: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a text: `tokens`, each with its place, label and probabilities, and `entities` if the labels make some."""
    tokens = []
    for (start, end), numbers in zip(found.places, found.rows, strict=True):
        best = max(range(len(numbers)), key=numbers.__getitem__)
        tokens.append({"start": start, "end": end, "text": text[start:end], "label": labels[best], "probs": list(numbers)})
    fields: dict[str, Any] = {"tokens": tokens, "num_classes": len(labels)}
    if found.entities is not None:
        fields["entities"] = [{"start": start, "end": end, "text": text[start:end], "label": kind} for start, end, kind in found.entities]
    return fields
