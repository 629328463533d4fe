"""Retrieval rows in their usual formats: a query with documents, each with a label of its relevance.

Read are the field names of sentence-transformers (anchor, positive, negative, negative_1, …; sentence1, sentence2, score), FlagEmbedding
(query, pos, neg), ms-swift (messages, positive_messages, negative_messages, label), and a query with documents and their labels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from swift_data.rows.contents import content_of
from swift_data.rows.conversations import messages_of
from swift_data.rows.values import Wrong, decoded, kind_of

QUERIES = ("query", "anchor", "sentence1", "messages")
POSITIVES = ("positive", "positives", "pos", "positive_messages", "sentence2", "document", "passage")
NEGATIVES = ("negative", "negatives", "neg", "negative_messages", "hard_negatives")
GRADED = ("documents", "docs", "passages")
GRADES = ("labels", "scores")
PAIR_LABELS = ("label", "score", "similarity")
_NUMBERED = re.compile(r"negative_(\d+)")


def is_retrieval(data: Mapping[str, Any], keys: set[str]) -> str:
    """Return the field by which a row is a retrieval row; '' if it is none. `keys` are the names of its non-empty fields."""
    if keys.isdisjoint(QUERIES):
        return ""
    found = next((name for name in POSITIVES if name in keys), "")
    return found or next((name for name in GRADED if name in keys and not keys.isdisjoint(GRADES)), "")


def retrieval(data: Mapping[str, Any]) -> tuple[str, tuple[str, ...], tuple[float, ...]]:
    """Return the query, its documents and their labels; without labels in the row, positives have 1 and negatives 0.

    Raises:
        Wrong: a field is missing or invalid, or a document is both positive and negative.
    """
    query = _text(data, next(name for name in QUERIES if _given(data, name)))
    if system := data.get("system"):
        query = f"{_written(system, '$.system')} {query}"
    graded = next((name for name in GRADED if _given(data, name)), "")
    if graded and not any(_given(data, name) for name in POSITIVES):
        documents = _texts(data, graded)
        return query, documents, _grades(data, len(documents))
    positives = _all(data, POSITIVES)
    negatives = _all(data, (*NEGATIVES, *sorted(filter(_NUMBERED.fullmatch, data), key=lambda name: int(name.partition("_")[2]))))
    if both := set(positives) & set(negatives):
        raise Wrong("$", f"a document is both positive and negative: {min(both)[:60]!r}", "Remove one of them.", code="DATA-153")
    return query, (*positives, *negatives), (*_positive_labels(data, len(positives)), *[0.0] * len(negatives))


def _all(data: Mapping[str, Any], names: Iterable[str]) -> tuple[str, ...]:
    return tuple(text for name in names if _given(data, name) for text in _texts(data, name))


def _given(data: Mapping[str, Any], name: str) -> bool:
    return name in data and data[name] not in (None, "", [])


def _texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Read a text, or a list of texts or conversations; in `…_messages` a lone conversation too."""
    value = data[name]
    if name.endswith("_messages") or (isinstance(value, str) and value.lstrip().startswith("[")):
        value = decoded(value, f"$.{name}")
    if isinstance(value, str):
        return (_written(value, f"$.{name}"),)
    if not isinstance(value, list | tuple):
        raise Wrong(f"$.{name}", f"must be text or a list of texts, not {kind_of(value)}", code="DATA-154")
    if value and isinstance(value[0], Mapping):
        value = [value]
    return tuple(_written(each, f"$.{name}[{place}]") for place, each in enumerate(value))


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data[name]
    return _written(decoded(value, f"$.{name}") if name == "messages" else value, f"$.{name}")


def _written(value: Any, path: str) -> str:
    """Return the text of a text, or of a conversation of one message, after the text of its system prompt."""
    if isinstance(value, str):
        text = value
    else:
        messages = [message for _, message in messages_of(value, path)]
        spoken = [message for message in messages if message["role"] != "system"]
        if len(spoken) != 1:
            raise Wrong(
                path, f"a text to embed or rank must be a single message, but these are {len(spoken)}", "Join their texts.", code="DATA-155"
            )
        contents = [content_of(message["content"], path) for message in (*(m for m in messages if m["role"] == "system"), *spoken)]
        if not all(isinstance(content, str) for content in contents):
            raise Wrong(path, "only text can be embedded or ranked", "Remove the media.", code="DATA-156")
        text = " ".join(map(str, contents))
    if not text.strip():
        raise Wrong(path, "the text is empty", "Remove the row.", code="DATA-023")
    return text


def _positive_labels(data: Mapping[str, Any], count: int) -> tuple[float, ...]:
    name = next((name for name in PAIR_LABELS if _given(data, name)), "")
    if not name:
        return (1.0,) * count
    if count != 1:
        raise Wrong(f"$.{name}", f"a label needs exactly one positive document, but there are {count}", "Remove it.", code="DATA-157")
    return (_number(data[name], f"$.{name}"),)


def _grades(data: Mapping[str, Any], count: int) -> tuple[float, ...]:
    name = next(name for name in GRADES if _given(data, name))
    value = decoded(data[name], f"$.{name}")
    if not isinstance(value, list | tuple) or len(value) != count:
        raise Wrong(f"$.{name}", f"must be a list of {count} numbers, one for each document", code="DATA-158")
    return tuple(_number(each, f"$.{name}[{place}]") for place, each in enumerate(value))


def _number(item: Any, path: str) -> float:
    try:
        number = float(item)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise Wrong(path, f"must be a finite number, not {item}", "Remove the row, or correct it.", code="DATA-026")
    return number
