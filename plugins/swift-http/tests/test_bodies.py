"""Bodies that no client should send: always a refusal in words, or an answer; never a failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from swift_http import Limits, create_app
from swift_http.fuzzing import HOSTILE_VALUES, mutations
from swift_http.testing import KEY, FakeEngine, Served, chat

from swift_core.contract.errors import UsageError

TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}},
}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": "b"}'}}
COMMON: dict[str, Any] = {
    "temperature": 1.0,
    "top_p": 0.9,
    "top_k": 5,
    "min_p": 0.1,
    "repetition_penalty": 1.1,
    "seed": 1,
    "n": 1,
    "stop": ["x"],
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "logit_bias": {"5": 1.0},
    "min_tokens": 1,
    "ignore_eos": False,
    "stop_token_ids": [7],
    "return_token_ids": True,
}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "model": "base",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}], "name": "n"},
            {"role": "assistant", "content": "b", "tool_calls": [CALL]},
            {"role": "tool", "content": "c", "tool_call_id": "1"},
        ],
        "tools": [TOOL],
        "tool_choice": "auto",
        "max_tokens": 2,
        "parallel_tool_calls": True,
        "chat_template_kwargs": {"thinking": True},
        "reasoning_effort": "low",
        "logprobs": True,
        "top_logprobs": 1,
        "stream_options": {"include_usage": True},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
        **COMMON,
    },
    "/v1/completions": {"model": "base", "prompt": ["a", "b"], "max_tokens": 2, "logprobs": 1, "echo": True, **COMMON},
    "/v1/responses": {
        "model": "base",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "7"},
        ],
        "instructions": "i",
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
        "tool_choice": {"type": "function", "name": "f"},
        "max_output_tokens": 2,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "reasoning": {"effort": "low"},
    },
    "/v1/embeddings": {"model": "base", "input": ["a"], "encoding_format": "float"},
    "/tokenize": {"model": "base", "prompt": "a", "add_special_tokens": True},
    "/tokenize#messages": {"messages": [{"role": "user", "content": "a"}], "tools": [TOOL], "chat_template_kwargs": {"thinking": True}},
    "/detokenize": {"model": "base", "tokens": [97]},
    "/v1/load_lora_adapter": {"lora_name": "a", "lora_path": "b"},
    "/v1/unload_lora_adapter": {"lora_name": "a"},
}
JSON = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}


class Strict(FakeEngine):
    """An engine that fails where real ones do: at text that can't be encoded, and at tokens that it does not have."""

    context = 10_000

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        text.encode()
        return super().encode(text)

    async def unload_adapter(self, name: str) -> None:
        if name not in self.loaded:
            raise UsageError("there is none")


APP = create_app(Strict(), api_key=KEY, adapter_folders=[Path(__file__).parent], limits=Limits(timeout=20))


def bad_answers(requests: list[tuple[str, str, bytes]]) -> list[str]:
    """What is answered with a failure, or not in JSON."""

    async def ask() -> list[str]:
        found = []
        transport = httpx2.ASGITransport(APP, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
            for path, words, body in requests:
                response = await client.post(path.partition("#")[0], content=body, headers=JSON)
                if response.status_code >= 500:
                    found.append(f"{path} {words}: {response.status_code}")
                json.loads(response.content.decode())
        return found

    return asyncio.run(ask())


@pytest.mark.parametrize("path", BODIES)
def test_one_bad_value_is_never_a_failure(path: str):
    assert bad_answers([(path, *mutation) for mutation in mutations(BODIES[path])]) == []


@pytest.mark.parametrize("path", BODIES)
def test_a_lone_surrogate_is_refused_wherever_it_stands(path: str):
    async def ask() -> Iterator[tuple[str, int]]:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(APP), base_url="http://x") as client:
            tried = [(words, body) for words, body in mutations(BODIES[path]) if "ud800" in words or "an invalid key" in words]
            return [(words, (await client.post(path.partition("#")[0], content=body, headers=JSON)).status_code) for words, body in tried]  # type: ignore[return-value]

    assert [words for words, status in asyncio.run(ask()) if status != 400] == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", {"model": "base", "prompt": []}, "prompt"),
        ("/v1/completions", {"model": "base", "prompt": [], "stream": True}, "prompt"),
        ("/v1/completions", {"model": "base", "prompt": [[]]}, "prompt"),
        ("/v1/completions", {"model": "base", "prompt": [""]}, "prompt"),
        ("/v1/completions", {"model": "base", "prompt": ["a", ""], "stream": True}, "prompt"),
        ("/v1/completions", {"model": "base", "prompt": [-1]}, "prompt"),
        ("/v1/completions", {"model": "base", "prompt": [[2**40]]}, "prompt"),
        ("/v1/completions", {"model": "base", "prompt": "a", "n": 0}, "n"),
        ("/v1/completions", {"model": "base", "prompt": "a", "logprobs": 21}, "logprobs"),
        ("/v1/completions", {"model": "base", "prompt": "a", "max_tokens": -1}, "max_tokens"),
        ("/v1/completions", {"model": "base", "prompt": "x" * 20_000}, "prompt"),
        ("/v1/embeddings", {"model": "base", "input": []}, "input"),
        ("/v1/embeddings", {"model": "base", "input": [-1]}, "input"),
        ("/v1/embeddings", {"model": "base", "input": [[]]}, "input"),
        ("/v1/embeddings", {"model": "base", "input": [""]}, "input"),
        ("/v1/chat/completions", {"model": "base", "messages": []}, "messages"),
        ("/v1/chat/completions", {"model": "base", "messages": [{"role": "user", "content": "\ud800"}]}, "messages"),
        ("/v1/chat/completions", {"model": "\ud800", "messages": [{"role": "user", "content": "a"}]}, "model"),
        ("/tokenize", {"prompt": "\ud800"}, "prompt"),
    ],
)
def test_refusals_name_the_field(path: str, body: dict[str, Any], param: str):
    with Served(engine=Strict()) as served:
        response = served.post(path, content=json.dumps(body).encode(), headers=JSON)
        assert response.status_code == 400
        assert response.json()["error"]["param"].partition(".")[0] == param


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tool_choice": "always"}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"stop": ["a", ""]}, "stop.1"),
        ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages.0.content.0.type"),
        ({"logit_bias": {"-1": 1}}, "logit_bias.-1"),
    ],
)
def test_a_field_of_several_types_is_named_as_it_was_sent(more: dict[str, Any], param: str):
    with Served() as served:
        response = served.post("/v1/chat/completions", {**chat(), **more})
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)
        response = served.post("/v1/completions", {"model": "base", "prompt": [3, 2**40]})
        assert (response.status_code, response.json()["error"]["param"]) == (400, "prompt.1")
        assert "less than" in response.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_of_no_tokens(stream: bool):
    with Served() as served:
        response = served.post("/v1/completions", {"model": "base", "prompt": "a", "max_tokens": 0, "stream": stream})
        assert response.status_code == 200
        assert '"finish_reason":"length"' in response.text
        assert served.engine.seen == []


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b'{"model": "\xff"}', b"\xed\xa0\x80", "{}".encode("utf-16"), b"null", b"1", b"", b"9" * 5000, b'"a"', b"\x00"]
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "\xff", ""])
def test_bodies_that_are_none(body: bytes, kind: str):
    async def ask() -> list[int]:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(APP), base_url="http://x") as client:
            headers = [(b"authorization", f"Bearer {KEY}".encode()), (b"content-type", kind.encode("latin-1"))]
            return [(await client.post(path.partition("#")[0], content=body, headers=headers)).status_code for path in BODIES]

    assert set(asyncio.run(ask())) == {400}


def test_what_a_template_refuses_has_its_message():
    class Templated(FakeEngine):
        def render(self, *_: Any, **__: Any) -> list[int]:
            raise UsageError("the model's chat template refuses these messages: roles must alternate", where="messages")

    with Served(engine=Templated()) as served:
        for path, body in (("/v1/chat/completions", chat()), ("/tokenize", {"messages": chat()["messages"]})):
            response = served.post(path, body)
            assert response.status_code == 400
            assert "roles must alternate" in response.json()["error"]["message"]


DOCUMENT = schemathesis.openapi.from_asgi("/openapi.json", APP, headers={"Authorization": f"Bearer {KEY}"})
DOCUMENT.config.generation.update(codec=None, allow_x00=True)  # surrogates and null characters too


@DOCUMENT.parametrize()
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_generated_requests_with_any_characters(case: schemathesis.Case):
    try:
        response = case.call(headers={"Authorization": f"Bearer {KEY}"})
    except UnicodeEncodeError:  # what no client can put into a path
        return
    assert response.status_code < 500


def test_the_nasty_values_are_tried_in_lists_and_objects():
    tried = {words for words, _ in mutations({"a": [{"b": 1}]})}
    assert len(tried) == 3 * len(HOSTILE_VALUES) + 1


# -- the name that the server is called by -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:80", 200),
        ("[::1]:80", 200),
        ("localhost", 200),
        ("api.localhost:1", 200),
        ("evil.example:80", 403),
        ("1.evil.example", 403),
    ],
)
def test_a_web_page_with_a_name_for_this_machine_reads_nothing(host: str, status: int):
    """DNS rebinding. With a key, the page does not have it."""
    with Served(api_key=None) as served:
        assert served.get("/v1/models").status_code == 200
        response = httpx2.get(served.url + "/models", headers={"Host": host})
        assert response.status_code == status
    with Served() as served:
        assert httpx2.get(served.url + "/models", headers={"Host": host, "Authorization": f"Bearer {KEY}"}).status_code == 200
