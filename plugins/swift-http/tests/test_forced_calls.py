"""Calls that have to come, as clients see them; that the answer is one is the engine's part."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from swift_http import Piece, Sampling, Token
from swift_http.testing import KEY, FakeEngine, Served, chat
from swift_testing.codes import coded

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
TIDE = {"type": "function", "function": {"name": "tide"}}
NAMED = {"type": "function", "function": {"name": "tide"}}


class Caller(FakeEngine):
    """Writes what it was forced to, as a grammar would make a model do."""

    cut = False

    async def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str) -> AsyncIterator[Piece]:
        self.seen.append(sampling)
        calls = [
            {"name": function.name, "arguments": {"city": "Rome"} if "city" in function.arguments else {}}
            for function in sampling.forced_calls
        ]
        text = json.dumps(calls if sampling.parallel_calls else calls[0])
        for letter in text[:-1] if self.cut else text:
            yield Piece(letter, (Token(ord(letter), letter),))
        yield Piece("", (), "length" if self.cut else "stop")


@pytest.fixture
def served() -> Any:
    with Served(engine=Caller()) as made:
        yield made


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"tool_choice": "required"}, ["weather"]),
        ({"tool_choice": "required", "parallel_tool_calls": True}, ["weather", "tide"]),
        ({"tool_choice": "required", "parallel_tool_calls": False}, ["weather"]),
        ({"tool_choice": NAMED}, ["tide"]),
    ],
)
def test_a_call_comes(served: Served, more: dict[str, Any], names: list[str], stream: bool):
    asked = served.openai.chat.completions.create(**chat(tools=[WEATHER, TIDE], stream=stream, **more))
    if stream:
        chunks = [chunk.choices[0] for chunk in asked]
        calls = [call for choice in chunks for call in choice.delta.tool_calls or []]
        assert "".join(choice.delta.content or "" for choice in chunks) == ""
        assert [call.index for call in calls] == list(range(len(names)))
        finish = chunks[-1].finish_reason
    else:
        calls, finish = asked.choices[0].message.tool_calls, asked.choices[0].finish_reason
        assert asked.choices[0].message.content is None
    assert [call.function.name for call in calls] == names
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Rome"} if name == "weather" else {} for name in names]
    assert finish == "tool_calls"
    assert served.engine.rendered[-1][1] == [WEATHER, TIDE]  # the template sees all of them


def test_what_the_engine_is_asked_for(served: Served):
    served.ask(tools=[WEATHER, TIDE], tool_choice="required")
    schemas = {function.name: json.loads(function.arguments) for function in served.engine.seen[-1].forced_calls}
    assert schemas == {
        "weather": {**CITY, "additionalProperties": False},
        "tide": {"type": "object", "properties": {}, "additionalProperties": False},
    }
    combined = {"type": "object", "anyOf": [{"properties": {"a": {}}}]}  # where "no others" would forbid what is named elsewhere
    served.ask(tools=[{"type": "function", "function": {"name": "f", "parameters": combined}}], tool_choice="required")
    assert json.loads(served.engine.seen[-1].forced_calls[0].arguments) == {**combined, "properties": {}}


def test_a_call_that_is_cut_is_no_call(served: Served):
    served.engine.cut = True  # type: ignore[attr-defined]
    choice = served.ask(tools=[TIDE], tool_choice="required").json()["choices"][0]
    assert choice["finish_reason"] == "length"
    assert "tool_calls" not in choice["message"]


def test_an_engine_that_is_older_refuses_what_it_would_ignore():
    class Older(FakeEngine):
        supports = ()

    fields: dict[str, Any] = {
        "frequency_penalty": 1,
        "presence_penalty": 1,
        "logit_bias": {"5": 1},
        "min_tokens": 1,
        "ignore_eos": True,
        "stop_token_ids": [1],
        "chat_template_kwargs": {"a": 1},
        "reasoning_effort": "low",
    }
    with Served(engine=Older()) as served:
        for name, value in fields.items():
            response = served.ask(**{name: value})
            assert (response.status_code, response.json()["error"]["param"]) == (400, "chat_template_kwargs" if "effort" in name else name)
        assert served.ask(tools=[TIDE], tool_choice="required").json()["error"]["param"] == "tool_choice"
        assert served.engine.seen == []
        assert served.ask(frequency_penalty=0, logit_bias={}, min_tokens=0, ignore_eos=False, stop_token_ids=[]).status_code == 200


def test_one_call_if_parallel_tool_calls_is_false():
    class Talker(FakeEngine):
        async def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str) -> AsyncIterator[Piece]:
            yield Piece("".join(f'<tool_call>{{"name": "{name}", "arguments": {{}}}}</tool_call>' for name in "ab"), (Token(1, ""),))
            yield Piece("", (), "stop")

    with Served(engine=Talker(), tool_parser="hermes") as served:
        for allowed, count in ((None, 2), (True, 2), (False, 1)):
            message = served.ask(tools=[TIDE], parallel_tool_calls=allowed).json()["choices"][0]["message"]
            assert len(message["tool_calls"]) == count


# -- other fields of the same requests -----------------------------------------------------------------------------------


def test_token_ids(served: Served):
    with Served() as plain:
        body = plain.ask("ab", return_token_ids=True, max_tokens=3).json()
        assert body["prompt_token_ids"] == plain.engine.render(chat("ab")["messages"])
        assert body["choices"][0]["token_ids"] == [0, 1, 2]
        assert "token_ids" not in plain.ask("ab").json()["choices"][0]
        lines = plain.ask("ab", return_token_ids=True, stream=True).text.split("\n\n")
        chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        assert chunks[0]["prompt_token_ids"] == body["prompt_token_ids"]
        assert [token for chunk in chunks for token in chunk["choices"][0].get("token_ids", [])] == [0, 1, 2, 3, 4]
        several = {"model": "base", "prompt": ["a", "b"], "n": 2, "return_token_ids": True}
        assert [choice["prompt_token_ids"] for choice in plain.post("/v1/completions", several).json()["choices"]] == [
            [97],
            [97],
            [98],
            [98],
        ]


def test_stop_strings_wait_for_the_least_length():
    with Served() as served:
        assert served.ask(stop="capital").json()["choices"][0]["message"]["content"] == "The "
        assert served.ask(stop="capital", min_tokens=2).json()["choices"][0]["message"]["content"] == "The capital is Paris."
        assert served.ask(stop="Paris", min_tokens=2).json()["choices"][0]["message"]["content"] == "The capital is "


def test_variables_reach_the_template():
    with Served() as served:
        served.ask(chat_template_kwargs={"enable_thinking": False}, reasoning_effort="low")
        assert served.engine.variables == {"enable_thinking": False, "reasoning_effort": "low"}
        served.post("/tokenize", {"messages": chat()["messages"], "chat_template_kwargs": {"enable_thinking": True}})
        assert served.engine.variables == {"enable_thinking": True}
        assert served.post("/tokenize", {"prompt": "a", "chat_template_kwargs": {"a": 1}}).status_code == 400


def test_origins_that_may_read_answers():
    import httpx2

    asks = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with Served(origins=["https://page.example"]) as served:
        before = httpx2.request("OPTIONS", f"{served.url}/chat/completions", headers=asks)
        assert (before.status_code, before.headers["access-control-allow-origin"]) == (200, "https://page.example")
        answer = served.post("/v1/chat/completions", chat(stream=True), headers={"Origin": "https://page.example"})
        assert answer.headers["access-control-allow-origin"] == "https://page.example"
        refused = served.post("/v1/chat/completions", chat(), key="wrong", headers={"Origin": "https://page.example"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://page.example")
        other = httpx2.request("OPTIONS", f"{served.url}/models", headers={**asks, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
    with Served(origins=["*"]) as served:
        assert served.openai.models.list().data
        assert (
            httpx2.get(f"{served.url}/models", headers={"Origin": "null", "Authorization": f"Bearer {KEY}"}).headers[
                "access-control-allow-origin"
            ]
            == "*"
        )


@pytest.mark.parametrize("wrong", ["page.example", "https://page.example/", "https://page.example/a", "https://*.example", ""])
def test_what_is_no_origin_is_refused_at_the_start(wrong: str):
    from swift_core.contract.errors import UsageError

    with pytest.raises(UsageError, check=coded("SERVE-013")):
        Served(origins=[wrong])
