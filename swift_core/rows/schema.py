"""The rows that a task takes, as a JSON Schema with an example of each form: what `swift data schema` prints.

A schema knows fields and types. What only reading tells (the order of the turns, whether a file is there) `normalise` checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swift_core.rows import loss_scales, thoughts
from swift_core.rows.conversations import ROLES
from swift_core.rows.media_marks import FIELDS
from swift_core.rows.shapes import SHAPES, Shape, ref

_Schema = Mapping[str, Any]


def row_schema(kinds: Sequence[str]) -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of the rows that a task of these kinds takes: any of their forms."""
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
        "description": "Who speaks, and what is said; a number on the loss is 1 where none is given.",
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
        "description": "Paths, addresses or data: URIs; <image>, <video>, <audio> in the texts are their places, in order.",
        "anyOf": [{"type": ["string", "null"]}, ref("file"), {"type": "array", "items": {"anyOf": [_TEXT, ref("file")]}}],
    },
    "file": {"type": "object", "anyOf": [{"required": [name]} for name in ("path", "url", "bytes")]},
    "label": {
        "description": "What is judged: true or false, a number, a word, or a list of them.",
        "type": ["boolean", "number", "string", "array"],
        "items": {"type": ["boolean", "number", "string"]},
    },
}
_OPTIONAL: Mapping[str, _Schema] = {
    "system": {"description": "The system prompt.", "type": ["string", "array", "null"]},
    "history": {"description": "Earlier turns: [[question, answer], …].", "type": ["array", "string", "null"]},
    "input": {"description": "Goes below the question.", **_MAYBE_TEXT},
    "tools": {"description": "What the assistant may call, as OpenAI or Anthropic write it.", "type": ["array", "string", "null"]},
    "functions": {"description": "Another name of tools.", "type": ["array", "string", "null"]},
    "chat_template_kwargs": {"description": "Variables of the chat template for this row.", "type": ["object", "string", "null"]},
    "enable_thinking": {"description": "The same for this one variable.", "type": ["boolean", "string", "null"]},
    **{name: ref("media") for name in FIELDS},
}
