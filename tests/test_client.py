"""The client against a server that says what the test wants, faults and all."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from swift_serve import client
from swift_testing.scripted import ScriptedServer, events, reply

from swift_core.contract.errors import SwiftError, UsageError

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def script() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


def error(message: str) -> dict[str, Any]:
    return {"error": {"message": message}}


def delta(text: str | None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text} if text is not None else {}}]}


def test_stream(script: ScriptedServer):
    script.answer = lambda handler: reply(
        handler, 200, events(delta(""), delta("Bon"), delta("jour"), delta(None), {"choices": [], "usage": {}})
    )
    assert list(client.chat(script.url + "/", HELLO, model="m", api_key="k", temperature=0)) == ["Bon", "jour"]
    assert script.seen == [
        {"path": "/v1/chat/completions", "key": "Bearer k", "body": {"model": "m", "messages": HELLO, "stream": True, "temperature": 0}}
    ]


def test_complete_and_models(script: ScriptedServer):
    script.answer = lambda handler: reply(
        handler, 200, {"choices": [{"message": {"content": "Bonjour"}}], "data": [{"id": "m"}, {"id": "n"}]}
    )
    assert client.complete(script.url, HELLO, model="m") == "Bonjour"
    assert client.models(script.url) == ["m", "n"]
    assert [request["key"] for request in script.seen] == [None, None]


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(SwiftError, match="connection refused") as caught:
        client.complete(url, HELLO, model="m")
    assert "swift serve" in caught.value.hint
    assert caught.value.where == url


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://there/v1"])
def test_not_a_url(url: str):
    with pytest.raises(UsageError, match="not a valid server URL"):
        client.models(url)


def test_wrong_key(script: ScriptedServer):
    script.answer = lambda handler: reply(handler, 401, error("no"))
    with pytest.raises(UsageError, match="rejects the API key: no") as caught:
        client.complete(script.url, HELLO, model="m", api_key="sk-secret")
    assert "SWIFT_API_KEY" in caught.value.hint
    assert "sk-secret" not in str(caught.value)


def test_unknown_model_says_which_there_are(script: ScriptedServer):
    script.answer = lambda handler: (
        reply(handler, 404, error("no"))
        if handler.command == "POST"
        else reply(handler, 200, {"data": [{"id": "smollm2"}, {"id": "poet"}]})
    )
    with pytest.raises(UsageError, match="there is no model 'smollm'") as caught:
        client.complete(script.url, HELLO, model="smollm")
    assert caught.value.hint == "Did you mean 'smollm2'? Served: smollm2, poet."


@pytest.mark.parametrize(
    ("status", "kind", "words"), [(400, UsageError, "rejects the request: why"), (500, SwiftError, r"failed \(500\): why")]
)
def test_other_refusals(script: ScriptedServer, status: int, kind: type[SwiftError], words: str):
    script.answer = lambda handler: reply(handler, status, error("why"))
    with pytest.raises(kind, match=words):
        client.complete(script.url, HELLO, model="m")
    script.answer = lambda handler: reply(handler, status, b"<html>why</html>")
    with pytest.raises(kind, match="why"):
        client.complete(script.url, HELLO, model="m")


def test_a_busy_server_is_asked_again(script: ScriptedServer):
    answers = [
        (429, error("full"), {"retry_after": "0"}),
        (503, error("loading"), {"retry_after": "0"}),
        (200, events(delta("at last")), {}),
    ]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        status, body, headers = answers[len(script.seen) - 1]
        reply(handler, status, body, **headers)

    script.answer = answer
    assert list(client.chat(script.url, HELLO, model="m")) == ["at last"]
    assert len(script.seen) == 3


def test_a_server_that_stays_busy(script: ScriptedServer, monkeypatch: pytest.MonkeyPatch):
    pauses: list[float] = []
    monkeypatch.setattr(client.time, "sleep", pauses.append)
    script.answer = lambda handler: reply(handler, 429, error("full"))
    with pytest.raises(SwiftError, match="busy: full"):
        client.complete(script.url, HELLO, model="m")
    assert pauses == [0.5, 1, 2, 4, 8]


def test_a_stream_that_is_cut(script: ScriptedServer):
    script.answer = lambda handler: reply(handler, 200, events(delta("Bon"), done=False))
    stream = client.chat(script.url, HELLO, model="m")
    assert next(stream) == "Bon"
    with pytest.raises(SwiftError, match="lost during the answer"):
        next(stream)
    script.answer = lambda handler: reply(handler, 200, events(delta("Bon"), done=False), content_length="1000")
    with pytest.raises(SwiftError, match="lost during the answer"):
        list(client.chat(script.url, HELLO, model="m"))


def test_a_failure_in_mid_stream(script: ScriptedServer):
    script.answer = lambda handler: reply(handler, 200, events(delta("Bon"), error("out of memory"), done=False))
    with pytest.raises(SwiftError, match="out of memory"):
        list(client.chat(script.url, HELLO, model="m"))


def test_something_else_answers(script: ScriptedServer):
    script.answer = lambda handler: reply(handler, 200, b"<html>welcome</html>")
    with pytest.raises(SwiftError, match="not JSON"):
        client.models(script.url)


def test_wait_ready(script: ScriptedServer):
    script.answer = lambda handler: reply(handler, 200 if len(script.seen) > 2 else 503, {})
    assert client.wait_ready(script.url, lambda: True, 120)
    assert not client.wait_ready(script.url, lambda: False, 120)
    script.answer = lambda handler: reply(handler, 503, {})
    assert not client.wait_ready(script.url, lambda: True, 0.3)
