"""Tool calls are read out of an answer's text, whole and streamed, in each family's form."""

from __future__ import annotations

import json

import pytest
from swift_http import Piece
from swift_http.response_builders import ChatBuilder, Choice
from swift_http.tools import PARSERS

CITY = {"city": "Paris", "days": 2}
CALL = json.dumps({"name": "weather", "arguments": CITY})

WRITTEN = {
    "hermes": f"<tool_call>\n{CALL}\n</tool_call>",
    "llama3_json": '{"name": "weather", "parameters": {"city": "Paris", "days": 2}}',
    "mistral": f"[TOOL_CALLS][{CALL}]",
    "qwen3_coder": "<tool_call>\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n"
    "</function>\n</tool_call>",
    "glm45": "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n"
    "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>",
    "granite": f"<|tool_call|>[{CALL}]",
    "granite4": f"<tool_call>\n{CALL}\n</tool_call>",
    "phi4_mini_json": f"functools[{CALL}]",
    "llama4_pythonic": "[weather(city='Paris', days=2)]",
    "olmo3": '<function_calls>weather(city="Paris", days=2)</function_calls>',
}
WRITTEN["glm47"] = WRITTEN["glm45"]

MORE = [
    ("llama3_json", f"<|python_tag|>{CALL}; {CALL}", 2),
    ("hermes", f"<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>", 2),
    ("hermes", f"<tool_call>{CALL}", 1),
    ("mistral", f"[TOOL_CALLS]weather[ARGS]{json.dumps(CITY)}", 1),
    ("mistral", f"[TOOL_CALLS]weather{json.dumps(CITY)}[TOOL_CALLS]weather{json.dumps(CITY)}", 2),
    ("llama4_pythonic", "[weather(city='Paris', days=2), weather(city='Paris', days=2)]", 2),
]


def whole(name: str, text: str) -> dict:
    choice = Choice(text, [], "stop")
    return ChatBuilder("m", logprobs=False, parser=PARSERS[name]).complete([choice], {})["choices"][0]


def streamed(name: str, text: str, size: int) -> tuple[str, list[dict], str | None]:
    form = ChatBuilder("m", logprobs=False, parser=PARSERS[name])
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    pieces = [Piece(part) for part in parts] + [Piece("", (), "stop")]
    choices = [chunk["choices"][0] for piece in pieces for chunk in form.chunk(0, piece)]
    content = "".join(choice["delta"].get("content", "") for choice in choices)
    return content, choices[-1]["delta"].get("tool_calls", []), choices[-1]["finish_reason"]


def test_every_parser_is_tried_here():
    assert set(WRITTEN) == set(PARSERS)


@pytest.mark.parametrize(("name", "text", "count"), [*((name, text, 1) for name, text in WRITTEN.items()), *MORE])
def test_calls(name: str, text: str, count: int):
    choice = whole(name, text)
    message = choice["message"]
    assert choice["finish_reason"] == "tool_calls"
    assert message["content"] is None
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["weather"] * count
    assert all(json.loads(call["function"]["arguments"]) == CITY for call in message["tool_calls"])
    assert len({call["id"] for call in message["tool_calls"]}) == count
    for size in (1, 5, 1000):
        content, calls, finish = streamed(name, text, size)
        assert (content, finish) == ("", "tool_calls")
        assert [(call["index"], call["function"]) for call in calls] == [
            (number, call["function"]) for number, call in enumerate(message["tool_calls"])
        ]


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_words_before_a_call_are_streamed_at_once(size: int):
    content, calls, _ = streamed("hermes", "Let me see. <tool" + "_call>" + CALL + "</tool_call>", size)
    assert content == "Let me see. "
    assert len(calls) == 1
    assert whole("hermes", "Let me see. <tool_call>" + CALL)["message"]["content"] == "Let me see."


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hermes", "Paris is <b>nice</b> <tool_call>{broken"),
        ("hermes", '<tool_call>{"name": "f", "arguments": "[1]"}</tool_call>'),
        ("hermes", "a < b"),
        ("llama3_json", '{"answer": 42}'),
        ("llama3_json", "The object {}"),
        ("llama4_pythonic", "[1, 2, 3]"),
        ("llama4_pythonic", "[__import__('os').system('ls')]"),
        ("llama4_pythonic", "[f(x=open('/etc/passwd'))]"),
        ("olmo3", "<function_calls>import os</function_calls>"),
        ("mistral", "[TOOL_CALLS]"),
        ("qwen3_coder", "<tool_call>nothing</tool_call>"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_is_no_call_stays_text(name: str, text: str, size: int):
    choice = whole(name, text)
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, "stop")
    assert "tool_calls" not in choice["message"]
    assert streamed(name, text, size) == (text, [], "stop")


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "5",
        "[[]]",
        "[null]",
        "[" * 30_000,
        '{"a":' * 30_000,
        "f(" * 5_000,
        '{"name": "f", "arguments": {"a": NaN}}',
        '{"name": "", "arguments": {}}',
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.parametrize("name", PARSERS)
def test_whatever_a_model_writes_is_a_call_or_text(name: str, text: str):
    for mark in PARSERS[name].markers:
        written = f"{mark}{text}"
        message = whole(name, written)["message"]
        assert message["content"] == written or all(call["function"]["name"] for call in message["tool_calls"])
        for call in message.get("tool_calls", []):
            json.loads(call["function"]["arguments"], parse_constant=pytest.fail)
