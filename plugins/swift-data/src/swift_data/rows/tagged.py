"""Rows of token classification in their usual formats: words with their tags, or a text with labelled spans (named entities).

Read are the field names of Hugging Face's and CoNLL's sets (tokens or words; tags, ner_tags or labels), and spans as spaCy, Doccano and
transformers' pipelines write them: `{"start", "end", "label"}` or `[start, end, label]`, in characters, `end` exclusive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from swift_data.rows.values import Wrong, decoded, kind_of, text_of

WORDS = ("tokens", "words")
TAGS = ("tags", "ner_tags", "labels")
SPANS = ("spans", "entities", "label", "labels")
_ALWAYS = ("spans", "entities")  # of these an empty list too means spans
_LABELS = ("label", "type", "entity_group", "entity")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3000-\u303f\uff00-\uffef]")  # scripts without spaces
_TRIPLE = 3


@dataclass(frozen=True, slots=True)
class TaggedSpan:
    """A labelled part of a text, from `start` to before `stop`, in characters; `label` is a name or the number of a class."""

    start: int  # of its first character
    stop: int  # after its last character
    label: str | int  # its name or number


def is_tagged(data: Mapping[str, Any], keys: set[str]) -> str:
    """Return the field by which a row has labelled words or spans; '' if it has none. `keys` are the names of its non-empty fields."""
    if _first(WORDS, keys):
        return _first(TAGS, keys)
    return next((name for name in SPANS if name in keys and _holds_spans(data[name], name)), "") if "text" in keys else ""


def tagged(data: Mapping[str, Any]) -> tuple[str, tuple[TaggedSpan, ...], bool]:
    """Return the text of a row, its labelled parts in order, and whether these are all of its words.

    Raises:
        Wrong: a field is missing or invalid, or spans overlap.
    """
    words = _first(WORDS, {name for name in WORDS if data.get(name)})
    if words:
        text, places = _placed(_list(data, words), words, data.get("text"))
        name = _first(TAGS, {name for name in TAGS if data.get(name)})
        tags = [_label(tag, f"$.{name}[{number}]") for number, tag in enumerate(_list(data, name))]
        if len(tags) != len(places):
            raise Wrong(f"$.{name}", f"{len(tags)} tags for {len(places)} words", "Give a tag for each word.", code="DATA-165")
        return text, tuple(TaggedSpan(*place, tag) for place, tag in zip(places, tags, strict=True)), True
    text = text_of(data["text"], "$.text")
    if not text.strip():
        raise Wrong("$.text", "the text is empty", "Remove the row.", code="DATA-023")
    name = next(name for name in SPANS if name in data and _holds_spans(data[name], name))
    spans = sorted(_spans(_list(data, name), name, len(text)), key=lambda span: span.start)
    for before, after in pairwise(spans):
        if after.start < before.stop:
            message = f"spans overlap: {text[before.start : before.stop]!r} and {text[after.start : after.stop]!r}"
            raise Wrong(f"$.{name}", message, "A token has one label: keep one of them.", code="DATA-166")
    return text, tuple(spans), False


def _first(names: Sequence[str], keys: set[str]) -> str:
    return next((name for name in names if name in keys), "")


def _holds_spans(value: Any, name: str) -> bool:
    """Return whether a value is a list of spans, also as JSON text."""
    try:
        found = decoded(value, "") if isinstance(value, str) and value.lstrip().startswith("[") else value
    except Wrong:
        return False
    if not isinstance(found, list | tuple):
        return False
    if not found:
        return name in _ALWAYS
    return ("start" in found[0]) if isinstance(found[0], Mapping) else isinstance(found[0], list | tuple) and len(found[0]) == _TRIPLE


def _list(data: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = decoded(data[name], f"$.{name}")
    if not isinstance(value, list | tuple):
        raise Wrong(f"$.{name}", f"must be a list, not {kind_of(value)}", code="DATA-167")
    return value


def _placed(words: Sequence[Any], name: str, text: Any) -> tuple[str, list[tuple[int, int]]]:
    """Return a text and the places of words in it: the row's own text, or the words with spaces between them, but for CJK scripts."""
    made = ""
    places: list[tuple[int, int]] = []
    for number, word in enumerate(words):
        path = f"$.{name}[{number}]"
        if not text_of(word, path).strip():
            raise Wrong(path, "the word is empty", "Remove it and its tag.", code="DATA-168")
        if isinstance(text, str) and text:
            start = text.find(word, places[-1][1] if places else 0)
            if start < 0:
                raise Wrong(path, f"{word!r} does not follow in 'text'", "Correct it, or remove 'text'.", code="DATA-169")
        else:
            apart = bool(made) and not (_CJK.match(made[-1]) and _CJK.match(word))
            start, made = len(made) + apart, f"{made}{' ' if apart else ''}{word}"
        places.append((start, start + len(word)))
    return (text if isinstance(text, str) and text else made), places


def _spans(items: Sequence[Any], name: str, length: int) -> Iterator[TaggedSpan]:
    for number, item in enumerate(items):
        path = f"$.{name}[{number}]"
        start: Any
        stop: Any
        if isinstance(item, Mapping):
            start, stop = item.get("start"), item.get("end")
            label = next((item[key] for key in _LABELS if item.get(key) is not None), None)
        elif isinstance(item, list | tuple) and len(item) == _TRIPLE:
            start, stop, label = item
        else:
            raise Wrong(path, 'must be {"start": …, "end": …, "label": …} or [start, end, label]', "Correct it.", code="DATA-170")
        whole = all(isinstance(place, int) and not isinstance(place, bool) for place in (start, stop))
        if not whole or not 0 <= start < stop <= length:
            raise Wrong(
                path,
                f"it goes from {start} to {stop}, and the text has {length} characters",
                "Count characters; end is exclusive.",
                code="DATA-171",
            )
        yield TaggedSpan(start, stop, _label(label, path))


def _label(value: Any, path: str) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise Wrong(path, f"a label must be a name or the number of a class, not {kind_of(value)}", code="DATA-172")
    return value
