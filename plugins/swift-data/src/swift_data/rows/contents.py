"""Message contents that are lists: Anthropic's blocks; the parts of OpenAI, Qwen and LLaMA-Factory; distinguished by their `type`.

Contents with text parts only become a string. Thinking, tool calls and tool results are returned separately, since OpenAI's format keeps
them in other fields. Images, videos and audio remain `Source`s here; `media_marks` resolves their files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swift_core.contract import suggestion
from swift_data.rows import loss_scales
from swift_data.rows.media import KINDS, source_of
from swift_data.rows.tool_calls import calls_of
from swift_data.rows.values import Wrong, kind_of, text_of

_TEXT = ("text", "input_text", "output_text")
_THINKING = ("thinking", "reasoning")
_MEDIA = {name: kind for kind in KINDS for name in (kind, f"{kind}_url", f"input_{kind}")}
_KNOWN = (*_TEXT, *_THINKING, *_MEDIA, "tool_use", "tool_call", "tool_result")
_SOURCES = ("source", "url", "path", "bytes", "value")
# The fields that are read from a part, by its type. Media parts have further fields, which are passed to the model's processor.
READ: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(_TEXT, ("type", "text", "value")),
    **dict.fromkeys(_THINKING, ("type", "thinking", "reasoning", "text", "value")),
    **{name: ("type", name, kind, f"{kind}_url", *_SOURCES) for name, kind in _MEDIA.items()},
    "tool_use": ("type", "id", "name", "input"),
    "tool_call": ("type", "id", "name", "arguments", "function", "value", "input", "parameters", "args", "index"),
    "tool_result": ("type", "tool_use_id", "content", "is_error"),
}


@dataclass(slots=True)
class Blocks:
    """A parsed list of blocks: `parts` of text and media, and the blocks that go into other fields of the message."""

    parts: list[dict[str, Any]] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)  # messages of the role "tool"

    @property
    def content(self) -> str | list[dict[str, Any]]:
        """The joined text if all parts are text, else the parts."""
        if all(part["type"] == "text" for part in self.parts):
            return "".join(part["text"] for part in self.parts)
        return self.parts


def content_of(value: Any, path: str) -> str | list[dict[str, Any]]:
    """Parse a content that may hold only text and media.

    Raises:
        Wrong: it holds thinking, tool calls, tool results or unknown parts.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, list | tuple):
        return text_of(value, path)
    blocks = blocks_of(value, path)
    if blocks.thinking or blocks.calls or blocks.results:
        hint = "Tool calls and thinking belong to assistant messages, tool results to user messages."
        raise Wrong(path, "only text and media are allowed here", hint, code="DATA-028")
    return blocks.content


def blocks_of(value: Sequence[Any], path: str) -> Blocks:
    """Parse a list of blocks.

    Raises:
        Wrong: a block is of an unknown type or lacks its content.
    """
    blocks = Blocks()
    for number, block in enumerate(value):
        _read(block, f"{path}[{number}]", blocks)
    return blocks


def _read(block: Any, path: str, blocks: Blocks) -> None:
    if isinstance(block, str):
        blocks.parts.append({"type": "text", "text": block})
        return
    kind = block.get("type") if isinstance(block, Mapping) else None
    if kind is not None:
        _check_whole(block, path)
    if kind in _TEXT:
        blocks.parts.append({"type": "text", "text": _said(block, "text", path)})
    elif kind in _THINKING:
        blocks.thinking.append(_said(block, str(kind), path))
    elif kind == "tool_use":
        blocks.calls += calls_of({key: block[key] for key in ("id", "name", "input") if key in block}, path)
    elif kind == "tool_call":
        blocks.calls += calls_of(block.get("value", block), f"{path}.value" if "value" in block else path)
    elif kind == "tool_result":
        given = block.get("content")
        result: dict[str, Any] = {"role": "tool", "content": "" if given is None else content_of(given, f"{path}.content")}
        identity = {"tool_call_id": block["tool_use_id"]} if block.get("tool_use_id") else {}
        blocks.results.append({**result, **identity, **({"is_error": True} if block.get("is_error") else {})})
    elif kind in _MEDIA:
        blocks.parts.append(_media(block, str(kind), path))
    elif not isinstance(block, Mapping):
        raise Wrong(
            path, f"a content part must be an object, not {kind_of(block)}", 'Write {"type": "text", "text": "…"}.', code="DATA-029"
        )
    elif kind == "redacted_thinking":
        raise Wrong(path, "encrypted thinking can't be trained on", "Remove this block.", code="DATA-030")
    else:
        hint = suggestion(str(kind), _KNOWN) or "Known: text, image, video, audio, thinking, tool_use, tool_result."
        raise Wrong(f"{path}.type", f"unknown part type {kind!r}", hint, code="DATA-031")


def _check_whole(block: Mapping[str, Any], path: str) -> None:
    """Refuse a part with a loss scale of its own: a message is supervised as a whole."""
    for name in (*loss_scales.NAMES, *loss_scales.UNCLEAR):
        if block.get(name) is not None:
            raise Wrong(
                f"{path}.{name}",
                f"'{name}' can't be set on a part: loss weights apply to messages",
                "Set it on the message.",
                code="DATA-032",
            )


def _said(block: Mapping[str, Any], name: str, path: str) -> str:
    key = next((key for key in (name, "value", "text") if key in block), None)
    if key is None:
        raise Wrong(path, f"a part of type '{block['type']}' needs '{name}'", suggestion(name, map(str, block)), code="DATA-033")
    return text_of(block[key], f"{path}.{key}")


def _media(block: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
    """Parse a media part; one without a source is a placeholder for the next of the row's files."""
    kind = _MEDIA[name]
    places = (name, kind, f"{kind}_url", *_SOURCES)
    key = next((key for key in places if block.get(key) is not None), None)
    rest = {other: value for other, value in block.items() if other not in ("type", "cache_control", *places) and value is not None}
    if key is None:
        return {"type": kind, **rest}
    value = {key: block[key]} if key == "bytes" else block[key]
    return {"type": kind, kind: source_of(value, kind, f"{path}.{key}"), **rest}
