"""POST /v1/responses, through the `openai` client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from swift_http import Piece, Sampling, Token
from swift_http.testing import FakeEngine, Served

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "d",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


class Caller(FakeEngine):
    """Says a word, and calls."""

    async def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str) -> AsyncIterator[Piece]:
        self.seen.append(sampling)
        call = '{"name": "weather", "arguments": {"city": "Rome"}}'
        for part in (call,) if sampling.forced_calls else ("Hm. ", "<tool_call>", call, "</tool_call>"):
            yield Piece(part, (Token(1, part),))
        yield Piece("", (), "stop")


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    with Served() as served:
        yield served


def test_a_text(shared: Served):
    answer = shared.openai.responses.create(model="base", input="hello", instructions="be brief", temperature=0.5, max_output_tokens=9)
    assert (answer.output_text, answer.status, answer.object) == ("The capital is Paris.", "completed", "response")
    assert shared.engine.rendered[-1][0] == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
    assert shared.engine.seen[-1] == Sampling(max_tokens=9, temperature=0.5)
    assert answer.usage is not None
    assert answer.usage.output_tokens == 5
    assert answer.usage.total_tokens == answer.usage.input_tokens + 5
    assert (answer.instructions, answer.temperature, answer.previous_response_id) == ("be brief", 0.5, None)


def test_an_answer_that_is_cut(shared: Served):
    answer = shared.openai.responses.create(model="base", input="hello", max_output_tokens=2)
    assert (answer.status, answer.output_text) == ("incomplete", "The capital ")
    assert answer.incomplete_details
    assert answer.incomplete_details.reason == "max_output_tokens"
    *_, last = shared.openai.responses.create(model="base", input="hello", max_output_tokens=2, stream=True)
    assert last.type == "response.incomplete"


def test_the_events_of_a_stream(shared: Served):
    events = list(shared.openai.responses.create(model="base", input="hello", stream=True))
    kinds = [event.type.removeprefix("response.") for event in events]
    begin = ["created", "in_progress", "output_item.added", "content_part.added"]
    end = ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert kinds == [*begin, *["output_text.delta"] * 5, *end]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last: Any = events[-1]
    assert last.response.output_text == "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert last.response.usage.output_tokens == 5
    with shared.openai.responses.stream(model="base", input="hello") as stream:
        assert stream.get_final_response().output_text == "The capital is Paris."


def test_a_failure_in_mid_stream_is_an_event(shared: Served):
    *_, last = shared.openai.responses.create(model="base", input="fail late", stream=True)
    assert last.type == "error"
    assert last.message.startswith("out of memory")
    assert "response.completed" not in shared.post("/v1/responses", {"model": "base", "input": "fail late", "stream": True}).text
    assert shared.post("/v1/responses", {"model": "base", "input": "fail early", "stream": True}).status_code == 500


def test_calls_and_their_results():
    with Served(engine=Caller(), tool_parser="hermes") as served:
        answer = served.openai.responses.create(model="base", input="hot?", tools=[WEATHER])
        message, call = answer.output
        assert (message.type, answer.output_text) == ("message", "Hm. ")
        assert call.type == "function_call"
        assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Rome"})
        events = list(served.openai.responses.create(model="base", input="hot?", tools=[WEATHER], stream=True))
        done: Any = next(event for event in events if event.type == "response.function_call_arguments.done")
        assert json.loads(done.arguments) == {"city": "Rome"}
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "7"}
        for items in ([item.to_dict() for item in answer.output], [item.model_dump() for item in answer.output]):  # the second has nulls
            again = [{"role": "user", "content": "hot?"}, *items, result]
            served.openai.responses.create(model="base", input=again, tools=[WEATHER])  # type: ignore[arg-type]
        turns = served.engine.rendered[-1][0]
        assert [turn["role"] for turn in turns] == ["user", "assistant", "tool"]
        assert turns[1]["content"] == "Hm. "
        assert turns[1]["tool_calls"][0]["function"] == {"name": "weather", "arguments": {"city": "Rome"}}
        assert turns[2] == {"role": "tool", "content": "7", "tool_call_id": call.call_id}
        for choice in ("required", {"type": "function", "name": "weather"}):
            forced = served.openai.responses.create(model="base", input="hot?", tools=[WEATHER], tool_choice=choice)  # type: ignore[call-overload]
            assert [item.type for item in forced.output] == ["function_call"]


def test_a_schema(shared: Served):
    form = {"type": "json_schema", "name": "x", "schema": {"enum": [1]}, "strict": True}
    shared.openai.responses.create(model="base", input="a", text={"format": form})  # type: ignore[typeddict-item]
    assert shared.engine.seen[-1].schema == '{"enum": [1]}'


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "does not store"),
        ({"conversation": "conv_1"}, "conversation", "does not store"),
        ({"background": True}, "background", "not support"),
        ({"truncation": "auto"}, "truncation", "not support"),
        ({"include": ["message.output_text.logprobs"]}, "include", "not support"),
        ({"tools": [{"type": "web_search"}]}, "tools", "'web_search'"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input", "does not store"),
        ({"input": [{"type": "reasoning", "summary": []}]}, "input", "'reasoning'"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x"}]}]}, "messages", "'input_image'"),
        ({"input": []}, "input", ""),
        ({"inptu": "x"}, "inptu", "unrecognized"),
        ({"tool_choice": "required"}, "tool_choice", "no tools"),
        ({"model": "bse"}, "model", "Did you mean 'base'?"),
        ({"text": {"format": {"type": "yaml"}}}, "response_format.type", "json_schema"),
    ],
)
def test_what_is_not_done_is_refused(shared: Served, change: dict[str, Any], param: str, words: str):
    response = shared.post("/v1/responses", {"model": "base", "input": "hello", **change})
    error = response.json()["error"]
    assert response.status_code in (400, 404)
    assert error["param"].startswith(param)
    assert words in error["message"]


def test_what_changes_nothing_is_taken(shared: Served):
    harmless: dict[str, Any] = {"store": True, "metadata": {"a": "b"}, "user": "u", "service_tier": "auto", "parallel_tool_calls": True}
    answer = shared.post("/v1/responses", {"model": "base", "input": "hello", **harmless, "previous_response_id": None}).json()
    assert answer["store"] is False
