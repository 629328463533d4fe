"""Media files of a row put where its texts say `<image>`, `<video>`, `<audio>`: contents become lists of parts, in order.

Without any mark a row's files go in front of its first user message. A row without files keeps its texts as they are, with a
literal "<image>" if they have one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from swift_core.rows.media import KINDS, Source, resolve, source_of
from swift_core.rows.values import Wrong, decoded

FIELDS: Mapping[str, str] = {name: kind for kind in KINDS for name in (f"{kind}s", kind)}
_MARKS = re.compile(f"(<(?:{'|'.join(KINDS)})>)")
Placed = Sequence[tuple[str, dict[str, Any]]]


def place_media(data: Mapping[str, Any], placed: Placed, folder: Path | None) -> None:
    """Turn the contents of the messages of a row that has media into parts, in place, and check each file.

    Args:
        data: the row, for its columns of media files.
        placed: its messages, each with its JSON path.
        folder: where relative paths begin.
    """
    files = _files(data) if not FIELDS.keys().isdisjoint(data) else {}
    if not files and all(isinstance(message["content"], str) for _, message in placed):
        return
    for path, message in placed:
        message["content"] = list(_parts(message["content"], files))
        for part in message["content"]:
            if part["type"] != "text" and part["type"] not in part and part["type"] not in files:
                raise Wrong(f"{path}.content", f"the {part['type']} has no source", f'Write its path, or add "{part["type"]}s" to the row.')
    for kind, (field, sources) in reversed(files.items()):  # so that images come first where all go in front
        _fill(placed, kind, field, sources)
    for _, message in placed:
        parts = message["content"]
        for part in parts:
            if isinstance(source := part.get(part["type"]), Source):
                part[part["type"]] = resolve(source, part["type"], folder)
        if all(part["type"] == "text" for part in parts):
            message["content"] = "".join(part["text"] for part in parts)


def _files(data: Mapping[str, Any]) -> dict[str, tuple[str, list[Source]]]:
    """The row's files by their kind, each kind with the name of its column."""
    found: dict[str, tuple[str, list[Source]]] = {}
    for field, kind in FIELDS.items():
        value = data.get(field)
        if value is None or value in ("", []):
            continue
        if kind in found:
            raise Wrong(f"$.{field}", f"there are two columns of files: this one, and '{found[kind][0]}'", "Keep one of them.")
        if isinstance(value, str) and value.startswith("["):  # a table's cell
            value = decoded(value, f"$.{field}")
        if isinstance(value, list | tuple):
            found[kind] = field, [source_of(item, kind, f"$.{field}[{number}]") for number, item in enumerate(value)]
        else:
            found[kind] = field, [source_of(value, kind, f"$.{field}")]
    return found


def _parts(content: Any, files: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A content as parts, with those marks as empty parts that the row has files for."""
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
            raise Wrong(f"$.{field}", "there is no user message to put these files into", f"Mark their places with <{kind}>.")
        marks = [{"type": kind} for _ in sources]
        asked["content"][:0] = marks
    if len(marks) != len(sources):
        raise Wrong(
            f"$.{field}",
            f"{len(sources)} {kind} file{'s' * (len(sources) != 1)}, but {len(marks)} <{kind}> mark{'s' * (len(marks) != 1)} in the texts",
            "Give each file its mark, in order; or none at all, and the files go in front of the first user message.",
        )
    for part, source in zip(marks, sources, strict=True):
        part[kind] = source
