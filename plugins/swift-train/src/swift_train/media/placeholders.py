"""Expand the placeholders of a rendered conversation as the model's processor does, and move its supervised spans along.

A chat template writes one placeholder an image ("<|image_pad|>"); the processor replaces it by as many as the image has tokens, with
the texts that belong around and between them. No token of an image is supervised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from swift_core.contract import UsageError
from swift_train.media.files import MediaFile
from swift_train.tokenise import MediaSpan, Span, SupervisedText

Replacement = Callable[[MediaFile], str]


def expand(text: SupervisedText, files: Sequence[MediaFile], placeholders: Mapping[str, str], replacement: Replacement) -> SupervisedText:
    """Return a text with its placeholders expanded, the spans moved, and the place of each file.

    Args:
        text: a rendered conversation, or its beginning.
        files: of the conversation, in order.
        placeholders: the processor's placeholder of each kind.
        replacement: returns what stands in the place of a file.
    """
    rest = {kind: iter([file for file in files if file.kind == kind]) for kind in placeholders}
    parts: list[str] = []
    media: list[MediaSpan] = []
    moves: list[tuple[int, int, int]] = []  # start and stop in the text, and the growth up to there
    end = growth = 0
    for kind, start, stop in places(text.text, placeholders):
        file = next(rest[kind])
        put = replacement(file)
        parts += [text.text[end:start], put]
        media.append(MediaSpan(start + growth, start + growth + len(put), file))
        growth += len(put) - (stop - start)
        moves.append((start, stop, growth))
        end = stop
    spans = [piece for span in text.spans for piece in _without_media(span, moves)]
    weighted = [piece for span in text.weighted for piece in _without_media(span, moves)]
    return text._replace(text="".join([*parts, text.text[end:]]), spans=tuple(spans), media=tuple(media), weighted=tuple(weighted))


def places(text: str, placeholders: Mapping[str, str]) -> Iterator[tuple[str, int, int]]:
    """Yield the kind, start and stop of each placeholder in a text."""
    pattern = "|".join(f"(?P<{kind}>{re.escape(token)})" for kind, token in placeholders.items())
    for found in re.finditer(pattern or "(?!)", text):
        yield str(found.lastgroup), found.start(), found.end()


def text_beside(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the texts of messages beside their media, each on a line."""
    contents = [message.get("content") or "" for message in messages]
    parts = [[content] if isinstance(content, str) else [part.get("text", "") for part in content] for content in contents]
    return "\n".join(text.strip() for texts in parts for text in texts if text.strip())


def check_places(text: str, kinds: Sequence[str], placeholders: Mapping[str, str]) -> None:
    """Check that a whole rendered conversation has one placeholder for each file; `kinds` are those of the files.

    Raises:
        UsageError: the template renders fewer, or a text of the row has the placeholder in it.
    """
    found = [kind for kind, _, _ in places(text, placeholders)]
    for kind, token in placeholders.items():
        wanted = list(kinds).count(kind)
        if found.count(kind) < wanted:
            raise UsageError(
                f"the chat template renders {found.count(kind)} of the row's {wanted} {kind}s",
                code="TRAIN-143",
                hint=f"Its placeholder is {token!r}: use the model's own template, with messages whose content is a list of parts.",
            )
        if found.count(kind) > wanted:
            raise UsageError(
                f"the row has {found.count(kind)} placeholders {token!r} and {wanted} {kind} file{'s' * (wanted != 1)}",
                code="TRAIN-144",
                hint=f"Write <{kind}> where a file belongs, one for each, and never the model's own token.",
            )


def _without_media(span: Span, moves: Sequence[tuple[int, int, int]]) -> Iterator[Span]:
    """Yield the parts of a span outside of the placeholders, at their places in the expanded text."""
    begin, shift = span.start, 0
    for start, stop, growth in moves:
        if stop <= span.start:
            shift = growth
        elif start < span.stop:
            if begin < start:
                yield Span(begin + shift, start + shift, span.weight)
            begin, shift = stop, growth
    if begin < span.stop:
        yield Span(begin + shift, span.stop + shift, span.weight)
