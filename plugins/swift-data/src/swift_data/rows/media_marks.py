"""Replace the placeholders `<image>`, `<video>`, `<audio>` in a row's texts by its media files: contents become lists of parts.

Without placeholders, a row's files go before the text of its first user message. The texts of a row without files are unchanged,
including a literal "<image>".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from swift_data.rows.media import KINDS, Source, resolve, source_of
from swift_data.rows.values import Wrong, decoded

FIELDS: Mapping[str, str] = {name: kind for kind in KINDS for name in (f"{kind}s", kind)}
_MARKS = re.compile(f"(<(?:{'|'.join(KINDS)})>)")
Placed = Sequence[tuple[str, dict[str, Any]]]


def place_media(data: Mapping[str, Any], placed: Placed, folder: Path | None) -> None:
    """Convert the contents of messages to parts, in place, if the row has media; check each file.

    Args:
        data: the row, for its columns of media files.
        placed: its messages, each with its JSON path.
        folder: the folder that relative paths are resolved against.

    Raises:
        Wrong: a file is invalid, or files and placeholders do not match.
    """
    files = _files(data) if not FIELDS.keys().isdisjoint(data) else {}
    if not files and all(isinstance(message["content"], str) for _, message in placed):
        return
    for path, message in placed:
        message["content"] = list(_parts(message["content"], files))
        for part in message["content"]:
            if part["type"] != "text" and part["type"] not in part and part["type"] not in files:
                raise Wrong(
                    f"{path}.content",
                    f"the {part['type']} has no source",
                    f'Write its path, or add "{part["type"]}s" to the row.',
                    code="DATA-069",
                )
    for kind, (field, sources) in reversed(files.items()):  # reversed, so that images come first if all go before the text
        _fill(placed, kind, field, sources)
    for _, message in placed:
        parts = message["content"]
        for part in parts:
            if isinstance(source := part.get(part["type"]), Source):
                part[part["type"]] = resolve(source, part["type"], folder)
        if all(part["type"] == "text" for part in parts):
            message["content"] = "".join(part["text"] for part in parts)


def _files(data: Mapping[str, Any]) -> dict[str, tuple[str, list[Source]]]:
    """Return the row's files by kind, each with the name of its column."""
    found: dict[str, tuple[str, list[Source]]] = {}
    for field, kind in FIELDS.items():
        value = data.get(field)
        if value is None or value in ("", []):
            continue
        if kind in found:
            raise Wrong(f"$.{field}", f"the files are given twice: here, and in '{found[kind][0]}'", "Keep one of them.", code="DATA-070")
        if isinstance(value, str) and value.startswith("["):  # JSON text in a table cell
            value = decoded(value, f"$.{field}")
        if isinstance(value, list | tuple):
            found[kind] = field, [source_of(item, kind, f"$.{field}[{number}]") for number, item in enumerate(value)]
        else:
            found[kind] = field, [source_of(value, kind, f"$.{field}")]
    return found


def _parts(content: Any, files: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parts of a content; placeholders of kinds that the row has files for become empty parts."""
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        if part["type"] != "text":
            yield dict(part)
            continue
        text = ""
        for piece in _MARKS.split(part["text"]):
            if (kind := piece[1:-1]) in files and piece == f"<{kind}>":
                if text:
                    yield {"type": "text", "text": text}
                yield {"type": kind}
                text = ""
            else:
                text += piece
        if text:
            yield {"type": "text", "text": text}


def _fill(placed: Placed, kind: str, field: str, sources: Sequence[Source]) -> None:
    marks = [part for _, message in placed for part in message["content"] if part["type"] == kind and kind not in part]
    if not marks:
        asked = next((message for _, message in placed if message["role"] == "user"), None)
        if asked is None:
            raise Wrong(
                f"$.{field}",
                "there is no user message to put these files into",
                f"Mark their places with <{kind}> in the texts.",
                code="DATA-071",
            )
        marks = [{"type": kind} for _ in sources]
        asked["content"][:0] = marks
    if len(marks) != len(sources):
        raise Wrong(
            f"$.{field}",
            f"{len(sources)} {kind} file{'s' * (len(sources) != 1)}, but {len(marks)} <{kind}> placeholder{'s' * (len(marks) != 1)}",
            "Write one placeholder per file, in order, or none at all: then the files go before the first user message.",
            code="DATA-072",
        )
    for part, source in zip(marks, sources, strict=True):
        part[kind] = source
