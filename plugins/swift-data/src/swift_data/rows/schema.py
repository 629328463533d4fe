"""JSON Schema of the rows that a task accepts, with an example of each format, as printed by `swift data schema`.

The schema covers fields and types. `normalise` checks the rest: the order of turns, the existence of files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swift_data.rows import loss_scales, thoughts
from swift_data.rows.conversations import ROLES
from swift_data.rows.media_marks import FIELDS
from swift_data.rows.shapes import SHAPES, Shape, ref

_Schema = Mapping[str, Any]


def row_schema(kinds: Sequence[str]) -> dict[str, Any]:
    """Return a JSON Schema (draft 2020-12) of rows of these kinds, in any of their formats."""
    shapes = [shape for shape in SHAPES if shape.kind in kinds]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Rows of the kind {' or '.join(kinds)}",
        "anyOf": [_schema(shape) for shape in shapes],
        "$defs": _DEFINITIONS,
    }


def _schema(shape: Shape) -> dict[str, Any]:
    return {
        "title": shape.name,
        "description": shape.description,
        "type": "object",
        "required": list(shape.fields),
        "properties": {**shape.fields, **{name: _OPTIONAL[name] for name in shape.optional}},
        "examples": list(shape.examples),
    }


_TEXT = {"type": "string"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_DEFINITIONS: Mapping[str, _Schema] = {
    "message": {
        "description": "A message: role and content; its loss weight is 1 by default.",
        "type": "object",
        "anyOf": [{"required": ["role"]}, {"required": ["from", "value"]}],
        "properties": {
            "role": {"enum": list(ROLES)},
            "from": {"enum": list(ROLES)},
            "content": {"type": ["string", "array", "null"], "items": {"type": ["object", "string"]}},
            "value": {"type": ["string", "array"]},
            "tool_calls": {"type": ["array", "string", "null"]},
            "tool_call_id": _MAYBE_TEXT,
            "function_call": {"type": ["object", "string", "null"]},
            **dict.fromkeys(thoughts.NAMES, _MAYBE_TEXT),
            **{name: {"type": ["number", "null"], "minimum": 0} for name in loss_scales.FACTORS},
            **{name: {"type": ["boolean", "null"]} for name in loss_scales.FLAGS},
        },
    },
    "messages": {
        "anyOf": [
            {"type": "array", "minItems": 1, "items": ref("message")},
            {"type": "string", "contentMediaType": "application/json", "pattern": r"^\s*\["},
        ]
    },
    "question": {"description": "Text, or messages.", "anyOf": [_TEXT, ref("messages")]},
    "answer": {"description": "Text, one message, or messages.", "anyOf": [_TEXT, ref("message"), ref("messages")]},
    "media": {
        "description": "Paths, URLs or data: URLs, in the order of the placeholders <image>, <video>, <audio> in the texts.",
        "anyOf": [{"type": ["string", "null"]}, ref("file"), {"type": "array", "items": {"anyOf": [_TEXT, ref("file")]}}],
    },
    "file": {"type": "object", "anyOf": [{"required": [name]} for name in ("path", "url", "bytes")]},
    "texts": {"description": "Text, or a list of texts.", "anyOf": [_TEXT, {"type": "array", "items": _TEXT}]},
    "label": {
        "description": "The label: true or false, a number, text, or a list of them.",
        "type": ["boolean", "number", "string", "array"],
        "items": {"type": ["boolean", "number", "string"]},
    },
}
_OPTIONAL: Mapping[str, _Schema] = {
    "system": {"description": "The system prompt.", "type": ["string", "array", "null"]},
    "history": {"description": "Earlier turns: [[question, answer], …].", "type": ["array", "string", "null"]},
    "input": {"description": "Appended to the prompt, on a new line.", **_MAYBE_TEXT},
    "tools": {"description": "Tools that the assistant may call, in OpenAI's or Anthropic's format.", "type": ["array", "string", "null"]},
    "functions": {"description": "Alternative name of `tools`.", "type": ["array", "string", "null"]},
    "chat_template_kwargs": {"description": "Chat template variables for this row.", "type": ["object", "string", "null"]},
    "enable_thinking": {"description": "The chat template variable `enable_thinking`.", "type": ["boolean", "string", "null"]},
    **{name: ref("media") for name in FIELDS},
}
