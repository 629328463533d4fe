"""The row formats, with the fields and examples that `row_schema` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swift_data.rows.media_marks import FIELDS

_Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """A row format of one kind: its required `fields` with their schemas, `optional` fields, and examples."""

    name: str
    kind: str
    description: str
    fields: _Schema
    examples: Sequence[Mapping[str, Any]]
    optional: Sequence[str] = ()


def ref(name: str) -> dict[str, str]:
    """Return a reference to one of the schema's definitions."""
    return {"$ref": f"#/$defs/{name}"}


_TEXT = {"type": "string"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_AROUND = ("system", "tools", "functions", "chat_template_kwargs", "enable_thinking", *FIELDS)
_PAIR = ("history", "input", *_AROUND)

_USER = {"role": "user", "content": "What is 6 x 7?"}
_GOOD = {"role": "assistant", "content": "42"}
_BAD = {"role": "assistant", "content": "41"}
_PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
_CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Bern"}}}
_WITH_TOOLS = {
    "messages": [
        {"role": "user", "content": "Is it raining in Bern?"},
        {"role": "assistant", "content": "", "tool_calls": [_CALL]},
        {"role": "tool", "content": "rain", "tool_call_id": "c1"},
        {"role": "assistant", "content": "Yes."},
    ],
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": _PARAMETERS}}],
}
SHAPES = (
    Shape(
        "messages",
        "chat",
        "A conversation in OpenAI's or Anthropic's format.",
        {"messages": ref("messages")},
        [{"messages": [_USER, _GOOD]}, _WITH_TOOLS],
        _AROUND,
    ),
    Shape(
        "conversations",
        "chat",
        "A conversation in ShareGPT's format.",
        {"conversations": ref("messages")},
        [{"conversations": [{"from": "human", "value": "What is 6 x 7?"}, {"from": "gpt", "value": "42"}]}],
        _AROUND,
    ),
    Shape(
        "alpaca",
        "chat",
        "An instruction, its optional input, and the answer.",
        {"instruction": _MAYBE_TEXT, "output": _TEXT},
        [{"instruction": "Calculate.", "input": "6 x 7", "output": "42"}],
        _PAIR,
    ),
    Shape(
        "query-response",
        "chat",
        "A question and its answer.",
        {"query": _TEXT, "response": ref("answer")},
        [{"query": "What is 6 x 7?", "response": "42"}],
        _PAIR,
    ),
    Shape(
        "prompt-completion",
        "chat",
        "A prompt and its answer, each as text or as messages.",
        {"prompt": ref("question"), "completion": ref("answer")},
        [{"prompt": "What is 6 x 7?", "completion": "42"}, {"prompt": [_USER], "completion": [_GOOD]}],
        _PAIR,
    ),
    Shape(
        "text", "text", "Plain text, all tokens supervised.", {"text": {**_TEXT, "pattern": r"\S"}}, [{"text": "Six times seven is 42."}]
    ),
    Shape(
        "preference-pair",
        "preference",
        "A prompt (prompt, messages, conversations, instruction or query), the chosen and the rejected answer.",
        {"chosen": ref("answer"), "rejected": ref("answer")},
        [{"prompt": "What is 6 x 7?", "chosen": "42", "rejected": "41"}, {"messages": [_USER], "chosen": _GOOD, "rejected": _BAD}],
        _PAIR,
    ),
    Shape(
        "preference-messages",
        "preference",
        "Two whole conversations with a common beginning.",
        {"chosen": ref("messages"), "rejected": ref("messages")},
        [{"chosen": [_USER, _GOOD], "rejected": [_USER, _BAD]}],
        _AROUND,
    ),
    Shape(
        "preference-messages",
        "preference",
        "The same with LLaMA-Factory's field names.",
        {"chosen_messages": ref("messages"), "rejected_messages": ref("messages")},
        [{"chosen_messages": [_USER, _GOOD], "rejected_messages": [_USER, _BAD]}],
        _AROUND,
    ),
    Shape(
        "preference-rejected",
        "preference",
        "A conversation that ends with the chosen answer, and the rejected answer.",
        {"messages": ref("messages"), "rejected_response": ref("answer")},
        [{"messages": [_USER, _GOOD], "rejected_response": "41"}],
        _AROUND,
    ),
    Shape(
        "preference-rejected",
        "preference",
        "A conversation that ends with the chosen answer, and the rejected continuation as messages.",
        {"messages": ref("messages"), "rejected_messages": ref("messages")},
        [{"messages": [_USER, _GOOD], "rejected_messages": [_USER, _BAD]}],
        _AROUND,
    ),
    Shape(
        "preference-outputs",
        "preference",
        "An instruction with two outputs: the chosen, then the rejected one.",
        {"instruction": _TEXT, "output": {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2}},
        [{"instruction": "What is 6 x 7?", "output": ["42", "41"]}],
        _PAIR,
    ),
    Shape(
        "label",
        "label",
        "A conversation, prompt-answer pair or text in any format, with its label.",
        {"label": ref("label")},
        [{"messages": [_USER, _GOOD], "label": True}, {"text": "Six times seven is 42.", "label": "arithmetic"}],
        _PAIR,
    ),
    Shape(
        "label",
        "label",
        "A conversation or prompt-answer pair in any format, with the label of its answer.",
        {"kto_tag": {"type": ["boolean", "string"]}},
        [{"instruction": "What is 6 x 7?", "output": "41", "kto_tag": False}],
        _PAIR,
    ),
    Shape(
        "messages",
        "prompt",
        "A conversation that ends with a prompt; the other fields are passed to reward functions.",
        {"messages": ref("messages")},
        [{"messages": [_USER], "solution": "42"}],
        _AROUND,
    ),
    Shape(
        "prompt",
        "prompt",
        "A prompt as text or as messages; the other fields are passed to reward functions.",
        {"prompt": ref("question")},
        [{"prompt": "What is 6 x 7?", "solution": "42"}, {"prompt": [_USER]}],
        _PAIR,
    ),
    Shape(
        "conversations",
        "prompt",
        "The same in ShareGPT's format.",
        {"conversations": ref("messages")},
        [{"conversations": [{"from": "human", "value": "What is 6 x 7?"}], "solution": "42"}],
        _AROUND,
    ),
    Shape(
        "retrieval",
        "retrieval",
        "A query with relevant documents, and others that are not (negative, negative_1, …); or a pair with a label of its similarity.",
        {"query": _TEXT, "positive": ref("texts")},
        [
            {"query": "What is 6 x 7?", "positive": "Six times seven is 42.", "negative": ["Six plus seven is 13."]},
            {"query": "It rains.", "positive": "It is raining.", "label": 0.9},
        ],
        ("system",),
    ),
    Shape(
        "retrieval",
        "retrieval",
        "The same as messages.",
        {"messages": ref("messages"), "positive_messages": {"type": "array"}},
        [{"messages": [_USER], "positive_messages": [[_GOOD]], "negative_messages": [[_BAD]]}],
        ("system",),
    ),
    Shape(
        "retrieval",
        "retrieval",
        "A query with documents, and a label of the relevance of each.",
        {"query": _TEXT, "documents": {"type": "array", "items": _TEXT}, "labels": {"type": "array", "items": {"type": "number"}}},
        [{"query": "What is 6 x 7?", "documents": ["Six times seven is 42.", "42", "It rains."], "labels": [2, 1, 0]}],
        ("system",),
    ),
    Shape(
        "tagged",
        "tagged",
        "Words with a tag each: names or numbers of classes.",
        {"tokens": {"type": "array", "items": _TEXT}, "tags": {"type": "array", "items": {"type": ["string", "integer"]}}},
        [{"tokens": ["Ada", "lives", "in", "London", "."], "tags": ["B-PER", "O", "O", "B-LOC", "O"]}],
    ),
    Shape(
        "tagged",
        "tagged",
        "A text with labelled spans, from `start` to before `end` in characters.",
        {"text": _TEXT, "spans": {"type": "array", "items": {"type": ["object", "array"]}}},
        [{"text": "Ada lives in London.", "spans": [{"start": 0, "end": 3, "label": "PER"}, {"start": 13, "end": 19, "label": "LOC"}]}],
    ),
    Shape("prompt", "prompt", "A prompt alone, as `query`.", {"query": _TEXT}, [{"query": "What is 6 x 7?"}], _PAIR),
    Shape(
        "prompt",
        "prompt",
        "A prompt alone, as `instruction`.",
        {"instruction": _TEXT},
        [{"instruction": "Calculate.", "input": "6 x 7", "solution": "42"}],
        _PAIR,
    ),
)
