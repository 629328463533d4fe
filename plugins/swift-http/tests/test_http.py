"""The OpenAI-compatible layer over an engine that answers at once: every point of the protocol, through a real socket."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from swift_http import Limits, Piece, Sampling, Token, bind
from swift_http.testing import HANG, KEY, WORDS, FakeEngine, Served, chat, until
from swift_testing.codes import coded

from swift_core.contract.errors import UsageError

WEATHER = {"type": "function", "function": {"parameters": {"type": "object"}, "name": "weather"}}


def called(arguments: Any) -> dict[str, Any]:
    """An assistant's turn as OpenAI's clients send it back."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    with Served() as served:
        yield served


@pytest.fixture
def own() -> Iterator[Served]:
    with Served(limits=Limits(max_requests=2, max_body_bytes=2000, retry_after=7)) as served:
        yield served


def error_of(response: httpx2.Response) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


# -- answers -------------------------------------------------------------------------------------------------------------


def test_chat_as_the_openai_client_reads_it(shared: Served):
    answer = shared.openai.chat.completions.create(**chat())
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content == "The capital is Paris."
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 5, 16)


def test_stream_is_the_answer_in_pieces(shared: Served):
    chunks = list(shared.openai.chat.completions.create(**chat(), stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "The capital is Paris."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 16
    assert len({chunk.id for chunk in chunks}) == 1


def test_stream_format(shared: Served):
    response = shared.ask(stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in response.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    assert all("usage" not in json.loads(line[6:]) for line in lines[:-1])


def test_text_parts_and_developer_role_reach_the_template(shared: Served):
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    body = chat(messages=[{"role": "developer", "content": "be brief"}, {"role": "user", "content": parts}])
    assert shared.post("/v1/chat/completions", body).json()["usage"]["prompt_tokens"] == len("system:be brief" + "user:hello") + 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("stop", "text"),
    [("ital", "The cap"), (["is Par", "zzz"], "The capital "), (["never"], "The capital is Paris."), ("Paris.", "The capital is ")],
)
def test_stop_strings_across_tokens(shared: Served, stop: Any, text: str, stream: bool):
    if stream:
        chunks = list(shared.openai.chat.completions.create(**chat(), stop=stop, stream=True))
        got, finish = "".join(chunk.choices[0].delta.content or "" for chunk in chunks), chunks[-1].choices[0].finish_reason
    else:
        choice = shared.openai.chat.completions.create(**chat(), stop=stop).choices[0]
        got, finish = choice.message.content or "", choice.finish_reason
    assert (got, finish) == (text, "stop")


def test_sampling_arrives(shared: Served):
    shared.ask(temperature=0.5, top_p=0.9, seed=7, max_completion_tokens=2, top_k=-1, n=1, user="me", frequency_penalty=0)
    assert shared.engine.seen[-1] == Sampling(max_tokens=2, temperature=0.5, top_p=0.9, seed=7, top_k=0)


def test_length_is_said(shared: Served):
    choice = shared.ask(max_tokens=2).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("The capital ", "length")


def test_adapter_by_name(shared: Served):
    answer = shared.openai.chat.completions.create(**chat() | {"model": "poet"})
    assert answer.model == "poet"
    assert shared.engine.adapters[-1] == "poet"


def test_chat_logprobs(shared: Served):
    choice = shared.openai.chat.completions.create(**chat(), logprobs=True, top_logprobs=2).choices[0]
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert [entry.token for entry in choice.logprobs.content] == list(WORDS)
    assert choice.logprobs.content[0].logprob == -0.5
    assert choice.logprobs.content[0].bytes == list(b"The ")
    assert [entry.token for entry in choice.logprobs.content[0].top_logprobs] == ["The ", "other"]


def test_completions(shared: Served):
    answer = shared.openai.completions.create(model="base", prompt=["ab", "cde"], max_tokens=9)
    assert [choice.text for choice in answer.choices] == ["The capital is Paris."] * 2
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 5
    chunks = list(shared.openai.completions.create(model="base", prompt=[97, 98], stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "The capital is Paris."


def test_echo_scores_the_prompt_and_keeps_the_generated_token(shared: Served):
    choice = shared.openai.completions.create(
        model="base", prompt=[[97, 98, 99]], echo=True, max_tokens=1, logprobs=1, temperature=0
    ).choices[0]
    assert choice.text == "abcThe "
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == ["a", "b", "c", "The "]
    assert choice.logprobs.token_logprobs == [None, -1.0, -2.0, -0.5]
    assert choice.logprobs.text_offset == [0, 1, 2, 3]
    assert choice.logprobs.top_logprobs == [None, {"b": -0.1}, {"c": -0.1}, {"The ": -0.5}]
    only = shared.openai.completions.create(model="base", prompt="abc", echo=True, max_tokens=0, logprobs=1)
    assert only.choices[0].text == "abc"
    assert only.usage is not None
    assert only.usage.completion_tokens == 0


def test_models_health_tokenize(shared: Served):
    listed = shared.openai.models.list().data
    assert [model.id for model in listed] == ["base", "poet"]
    assert shared.get("/v1/models/poet").json()["parent"] == "base"
    assert shared.get("/v1/models/none").status_code == 404
    assert shared.get("/health", key="none").json() == {"status": "ok"}
    assert shared.post("/tokenize", {"prompt": "ab"}).json() == {"tokens": [97, 98], "count": 2, "max_model_len": 100}
    assert shared.post("/tokenize", {"messages": chat()["messages"]}).json()["count"] == 11
    assert shared.post("/tokenize", {}).status_code == 400
    assert shared.post("/tokenize", {"prompt": "ab", "tools": [WEATHER]}).status_code == 400
    assert shared.post("/detokenize", {"tokens": [97, 98]}).json() == {"prompt": "ab"}
    assert shared.post("/detokenize", {"tokens": [-1]}).status_code == 400
    assert shared.post("/detokenize", {"model": "bse", "tokens": [97]}).status_code == 404


@pytest.mark.parametrize("path", ["/tokenize", "/v1/chat/completions"])
def test_tools_and_calls_reach_the_template(own: Served, path: str):
    messages = [
        {"role": "user", "content": "hot?"},
        called('{"b": "é", "a": 1}'),
        {"role": "tool", "content": "7", "tool_call_id": "c1", "name": "weather"},
        {"role": "assistant", "content": "No.", "reasoning_content": "7 is cold"},
    ]
    more = {} if path == "/tokenize" else {"tool_choice": "auto"}
    assert own.post(path, {"model": "base", "messages": messages, "tools": [WEATHER], **more}).status_code == 200
    turns, tools = own.engine.rendered[-1]
    assert json.dumps(tools) == json.dumps([WEATHER])  # the order of keys too
    call = {"type": "function", "id": "c1", "function": {"name": "weather", "arguments": {"b": "é", "a": 1}}}
    assert turns == [messages[0], {"role": "assistant", "content": "", "tool_calls": [call]}, *messages[2:]]
    assert list(turns[1]["tool_calls"][0]["function"]["arguments"]) == ["b", "a"]


def test_metrics_count(own: Served):
    own.ask()
    own.ask(stream=True)
    own.ask(model="a" * 30)
    text = own.get("/metrics").text
    assert 'swift_requests_total{endpoint="chat",model="base",status="200"} 2.0' in text
    assert 'swift_requests_total{endpoint="chat",model="",status="404"} 1.0' in text
    assert 'swift_tokens_total{kind="completion",model="base"} 10.0' in text
    assert 'swift_first_token_seconds_count{endpoint="chat"} 2.0' in text
    assert "swift_requests_in_flight 0.0" in text
    assert "a" * 30 not in text


def test_n_answers_each_with_a_seed_of_its_own(shared: Served):
    answer = shared.openai.chat.completions.create(**chat(), n=3, seed=5)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"The capital is Paris."}
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 15)
    assert sorted(wish.seed or 0 for wish in shared.engine.seen[-3:]) == [5, 6, 7]
    texts = ["", "", ""]
    for chunk in shared.openai.chat.completions.create(**chat(), n=3, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == ["The capital is Paris."] * 3
    several = shared.openai.completions.create(model="base", prompt=["a", "b"], n=2, echo=True)
    assert [choice.text[0] for choice in several.choices] == ["a", "a", "b", "b"]
    assert shared.post("/v1/completions", {"model": "base", "prompt": ["a"] * 70, "n": 2}).status_code == 400


def test_tool_calls_are_read_out_of_the_answer():
    class Calls(FakeEngine):
        async def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str) -> AsyncIterator[Piece]:
            assert sampling.keep_special_tokens
            for part in ("Hm. <tool_", 'call>{"name": "weather", ', '"arguments": {"city": "Paris"}}', "</tool_call>"):
                yield Piece(part, (Token(1, part),))
            yield Piece("", (), "stop")

    with Served(tool_parser="hermes", engine=Calls()) as served:
        choice = served.openai.chat.completions.create(**chat(), tools=[WEATHER]).choices[0]  # type: ignore[list-item]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content == "Hm."
        assert [call.function.name for call in choice.message.tool_calls or []] == ["weather"]  # type: ignore[union-attr]
        chunks = list(served.openai.chat.completions.create(**chat(), tools=[WEATHER], stream=True))  # type: ignore[list-item]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hm. "
        assert chunks[-1].choices[0].delta.tool_calls[0].function.arguments == '{"city": "Paris"}'  # type: ignore[index, union-attr]
        assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_schema_reaches_the_engine(shared: Served):
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    shared.ask(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}})
    assert shared.engine.seen[-1].schema == json.dumps(schema)
    shared.ask(response_format={"type": "json_object"})
    assert shared.engine.seen[-1].schema == '{"type": "object"}'
    shared.ask(response_format={"type": "text"})
    assert shared.engine.seen[-1].schema is None


def test_embeddings(shared: Served):
    for form in ("float", "base64"):
        answer = shared.openai.embeddings.create(model="base", input=["ab", "cde"], encoding_format=form)
        assert [list(item.embedding) for item in answer.data] == [[0.5, 2.0], [0.5, 3.0]] if form == "float" else True
        assert answer.usage.prompt_tokens == 5
    plain = shared.openai.embeddings.create(model="base", input=[97, 98])  # the client asks for base64 and unpacks it
    assert plain.data[0].embedding == [0.5, 2.0]
    for bad in ({"input": []}, {"input": ""}, {"input": "a", "dimensions": 3}, {"input": "x" * 101}, {"input": [""]}):
        assert shared.post("/v1/embeddings", {"model": "base", **bad}).status_code == 400
    assert shared.post("/v1/embeddings", {"model": "bse", "input": "a"}).status_code == 404


# -- adapters by request -------------------------------------------------------------------------------------------------


def test_adapters_come_and_go(tmp_path: Path):
    (tmp_path / "roots" / "mine").mkdir(parents=True)
    with Served(adapter_folders=[tmp_path / "roots"]) as served:
        for path in (str(tmp_path / "roots" / "mine"), "mine"):
            assert served.post("/v1/load_lora_adapter", {"lora_name": "new", "lora_path": path}).status_code == 200
            assert served.engine.loaded == {"new": (tmp_path / "roots" / "mine").resolve()}
            assert served.post("/v1/unload_lora_adapter", {"lora_name": "new"}).status_code == 200
            assert served.engine.loaded == {}


def test_no_path_outside_the_adapter_folders_is_readable_or_disclosed(tmp_path: Path):
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots2").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "roots" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "roots" / "file").write_text("x")
    outside = ["/etc", "../secret", "link", "link/..", "nowhere", ".", "", "file", "a\x00b", "~", str(tmp_path / "roots2"), "x" * 3000]
    with Served(adapter_folders=[tmp_path / "roots"]) as served:
        answers = [served.post("/v1/load_lora_adapter", {"lora_name": "new", "lora_path": path}) for path in outside]
        assert {answer.status_code for answer in answers} == {400}
        assert len({answer.text for answer, path in zip(answers, outside, strict=True) if path}) == 1
        assert served.engine.loaded == {}


def test_without_adapter_folders_there_is_no_such_route(shared: Served):
    assert shared.post("/v1/load_lora_adapter", {"lora_name": "new", "lora_path": "/etc"}).status_code == 404


# -- refusals ------------------------------------------------------------------------------------------------------------


SCHEMES = ("Bearer", "bearer", "Basic", "Token")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/tokenize"])
@pytest.mark.parametrize("key", ["wrong", KEY[:-1], KEY + "x", "ключ"])
def test_wrong_key(shared: Served, path: str, key: str):
    response = shared.post(path, chat(), headers={"Authorization": f"Bearer {key}".encode()})
    assert response.status_code == 401
    assert error_of(response)["code"] == "invalid_api_key"
    assert shared.get("/metrics", key="wrong").status_code == 401


def test_the_scheme_of_a_key_is_in_any_case(shared: Served):
    statuses = [shared.post("/tokenize", {"prompt": "a"}, headers={"Authorization": f"{kind} {KEY}"}).status_code for kind in SCHEMES]
    assert statuses == [200, 200, 401, 401]


def test_without_a_key_all_is_open():
    with Served(api_key=None) as served:
        assert served.get("/v1/models", key="none").status_code == 200


def test_unknown_model_names_those_there_are(shared: Served):
    response = shared.ask(model="bse")
    assert response.status_code == 404
    assert error_of(response) == {
        "message": "the model 'bse' is not served here. Did you mean 'base'? Served models: base, poet.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"temperature": "hot-secret"}, "temperature", "valid number"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"max_tokens": 0}, "max_tokens", "greater than"),
        ({"max_tokens": "5"}, "max_tokens", "valid integer"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "pirate", "content": "x"}]}, "messages.0.role", "'user'"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "image_url"),
        ({"messages": [{"role": "tool", "content": "x"}]}, None, "no tools"),
        ({"stop": ""}, "stop", "at least 1"),
        ({"n": 0}, "n", "greater than"),
        ({"n": 2, "best_of": 3}, "best_of", "'best_of'"),
        ({"tools": [{"type": "function"}]}, "tools", '"type": "function"'),
        ({"tools": [WEATHER], "tool_choice": "pirate"}, "tool_choice", "'none', 'auto' or 'required'"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice", "no tools"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "tide"}}}, "tool_choice", "'tide'"),
        (
            {"tools": [WEATHER], "tool_choice": "required", "response_format": {"type": "json_object"}},
            "tool_choice",
            "response_format",
        ),
        ({"tools": [WEATHER], "tool_choice": "required", "min_tokens": 3}, "min_tokens", "forced call"),
        ({"response_format": {"type": "json_object"}, "ignore_eos": True}, "ignore_eos", "schema"),
        ({"min_tokens": 9, "max_tokens": 8}, "min_tokens", "max_tokens"),
        ({"frequency_penalty": 2.5}, "frequency_penalty", "less than or equal to 2"),
        ({"presence_penalty": -2.5}, "presence_penalty", "greater than or equal to -2"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5", "less than or equal to 100"),
        ({"logit_bias": {"five": 1}}, "logit_bias.five", "match pattern"),
        ({"stop_token_ids": [-1]}, "stop_token_ids.0", "greater than or equal to 0"),
        ({"top_logprobs": 3}, "top_logprobs", "logprobs: true"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "at most 20 log-probabilities"),
        ({"stream_options": {"continuous_usage_stats": True}}, "continuous_usage_stats", "unrecognized"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "txt": "x"}]}]}, "messages", "has no 'text'"),
        ({"verbosity": "high"}, "verbosity", "'verbosity'"),
        ({"messages": [{"role": "user", "content": "x", "weight": 0}]}, "messages", "'weight' of a message"),
        ({"messages": [{"role": "assistant", "content": "x", "function_call": {"name": "f"}}]}, "messages", "'function_call'"),
        ({"messages": [called("[1]")]}, "messages", "'weather'"),
        ({"messages": [called("{")]}, "messages", "'weather'"),
        ({"messages": [called(None)]}, "messages.0.tool_calls.0.function.arguments", "valid string"),
        ({"response_format": {"type": "yaml"}}, "response_format.type", "'json_schema'"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "'json_schema'"),
        ({"temprature": 1}, "temprature", "unrecognized request argument"),
        ({"messages": [{"role": "user", "content": "x" * 200}]}, "messages", "length is 100 tokens"),
        ({"max_tokens": 95}, "messages", "length is 100 tokens"),
    ],
)
def test_bad_requests(shared: Served, change: dict[str, Any], param: str | None, words: str):
    response = shared.ask(**change)
    assert response.status_code == 400
    error = error_of(response)
    assert error["param"] == param
    assert words in error["message"]
    assert "secret" not in response.text


@pytest.mark.parametrize("content", [b"{", b"", b"[1]", b'"text"', b"\xff\xfe"])
def test_bad_json(shared: Served, content: bytes):
    response = shared.post("/v1/chat/completions", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    error_of(response)


def test_a_page_in_a_browser_cannot_post(shared: Served):
    response = shared.post(
        "/v1/chat/completions", content=json.dumps(chat()).encode(), headers={"Content-Type": "text/plain", "Origin": "http://evil"}
    )
    assert response.status_code == 400
    assert "application/json" in response.json()["error"]["message"]  # curl -d alone sends a form
    assert not any(name.startswith("access-control") for name in response.headers)


def test_unknown_path_and_method(shared: Served):
    assert error_of(shared.get("/v2"))["message"] == "Not Found"
    assert shared.get("/v1/chat/completions").status_code == 405


def test_body_limit(own: Served):
    assert own.ask("x" * 3000).status_code == 413

    def undeclared() -> Iterator[bytes]:
        yield json.dumps(chat("x" * 3000)).encode()

    response = own.post("/v1/chat/completions", content=undeclared(), headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert error_of(response)["code"] == "request_too_large"


def test_a_request_has_its_time():
    with Served(limits=Limits(timeout=0.2)) as served:
        response = served.ask("wait")
        assert response.status_code == 504
        assert error_of(response)["code"] == "request_timeout"
        stream = served.ask("forever", stream=True).text
        assert '"code":"request_timeout"' in stream
        assert "[DONE]" not in stream
        until(lambda: served.engine.running == 0)
        assert 'status="504"} 2.0' in served.get("/metrics").text
        until(lambda: served.ask().status_code == 200)


def test_full_queue(own: Served):
    threads = [threading.Thread(target=own.ask, args=("wait",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: own.engine.running == 2)
    response = own.ask()
    assert response.status_code == 429
    assert response.headers["retry-after"] == "7"
    assert error_of(response)["code"] == "server_busy"
    own.engine.go_on.set()
    for thread in threads:
        thread.join()
    assert own.ask().status_code == 200


# -- when it goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_engine_failure_has_a_status_even_for_a_stream(own: Served, stream: bool):
    response = own.ask("fail early", stream=stream)
    assert response.status_code == 500
    assert error_of(response)["message"] == "out of memory [SWIFT-SERVE-018]\n  Use a smaller model."
    assert own.ask().status_code == 200


def test_internal_errors_are_not_disclosed(own: Served):
    response = own.ask("crash")
    assert response.status_code == 500
    assert "private" not in response.text
    assert own.ask().status_code == 200


def test_failure_in_mid_stream_is_an_event_and_no_done(own: Served):
    text = own.ask("fail late", stream=True).text
    assert "The " in text
    assert '"type":"server_error"' in text
    assert "[DONE]" not in text
    assert "swift_requests_in_flight 0.0" in own.get("/metrics").text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("text", ["forever", "wait"])
def test_a_client_that_leaves_cancels_its_request(own: Served, text: str, stream: bool):
    body = json.dumps(chat(text, stream=stream)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(own.socket.getsockname(), timeout=HANG) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        until(lambda: own.engine.running == 1)
        if stream and text == "forever":
            assert connection.recv(12) == b"HTTP/1.1 200"
    assert own.engine.cancelled.wait(HANG)
    until(lambda: own.engine.running == 0)
    until(lambda: "swift_requests_in_flight 0.0" in own.get("/metrics").text)
    assert 'status="cancelled"} 1.0' in own.get("/metrics").text
    assert [own.ask().status_code for _ in range(3)] == [200] * 3


def test_an_unexpected_failure_has_cors_headers():
    class Broken(FakeEngine):
        def encode(self, text: str, *, special: bool = True) -> list[int]:
            raise RuntimeError("a private detail")

    with Served(engine=Broken(), origins=["https://page.example"]) as served:
        response = served.post("/tokenize", {"prompt": "a"}, headers={"Origin": "https://page.example"})
        assert response.status_code == 500
        assert response.headers["access-control-allow-origin"] == "https://page.example"
        assert error_of(response)["type"] == "server_error"
        assert "private" not in response.text


def test_the_bytes_of_tokens_are_those_of_the_vocabulary():
    class Parts(FakeEngine):
        async def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str) -> AsyncIterator[Piece]:
            first, second = (part.decode("utf-8", "surrogateescape") for part in (b" \xc3", b"\xa9"))
            yield Piece("", (Token(1, first, -0.5, ((first, -0.5),)),))
            yield Piece(" é", (Token(2, second, -0.5, ((second, -0.5),)),), "stop")

    with Served(engine=Parts()) as served:
        found = served.post("/v1/chat/completions", chat(logprobs=True, top_logprobs=1)).json()["choices"][0]
        entries = found["logprobs"]["content"]
        assert [entry["bytes"] for entry in entries] == [list(b" \xc3"), list(b"\xa9")]
        assert [entry["top_logprobs"][0]["bytes"] for entry in entries] == [list(b" \xc3"), list(b"\xa9")]
        assert bytes(byte for entry in entries for byte in entry["bytes"]).decode() == found["message"]["content"] == " é"
        assert [entry["token"] for entry in entries] == [" \ufffd", "\ufffd"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_ends_what_runs(stream: bool, caplog: pytest.LogCaptureFixture):
    with Served() as served, ThreadPoolExecutor() as threads:
        asked = threads.submit(served.ask, "forever", stream=stream)
        until(lambda: served.engine.running == 1)
        served.stop()
        response = asked.result(HANG)
        assert served.engine.cancelled.is_set()
        assert "the server is stopping" in response.text
        assert "[DONE]" not in response.text
        assert response.status_code == (200 if stream else 503)
    assert not caplog.records
    with pytest.raises(httpx2.ConnectError):
        served.ask()


def test_port_in_use():
    taken = bind("127.0.0.1", 0)
    taken.listen()
    with pytest.raises(UsageError, check=coded("SERVE-014"), match=r"can't bind 127.0.0.1:.*in use"):
        bind("127.0.0.1", taken.getsockname()[1])
    taken.close()
