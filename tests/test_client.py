"""The client against a server that says what the test wants, faults and all."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from swift_serve import chat, transport
from swift_serve.client import Client, Refused, wait_ready
from swift_serve.temporary_server import server_of
from swift_testing.codes import coded
from swift_testing.scripted import ScriptedServer, events, reply

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.roles import Server
from swift_core.contract.run import Run

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def script() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def client(script: ScriptedServer) -> Client:
    return Client(Server(script.url, ("m",)))


def error(message: str) -> dict[str, Any]:
    return {"error": {"message": message}}


def delta(text: str | None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text} if text is not None else {}}]}


def test_stream(script: ScriptedServer):
    script.answer = lambda handler: reply(
        handler, 200, events(delta(""), delta("Bon"), delta("jour"), delta(None), {"choices": [], "usage": {}})
    )
    assert list(Client(Server(script.url + "/", ("m",), "k")).chat(HELLO, temperature=0)) == ["Bon", "jour"]
    assert script.seen == [
        {"path": "/v1/chat/completions", "key": "Bearer k", "body": {"model": "m", "messages": HELLO, "stream": True, "temperature": 0}}
    ]


def test_complete_and_models(script: ScriptedServer, client: Client):
    script.answer = lambda handler: reply(
        handler, 200, {"choices": [{"message": {"content": "Bonjour"}}], "data": [{"id": "m"}, {"id": "n"}]}
    )
    assert client.complete(HELLO) == "Bonjour"
    assert client.models() == ["m", "n"]
    assert [request["key"] for request in script.seen] == [None, None]


def test_the_model_by_default_is_the_first_of_the_server(script: ScriptedServer):
    script.answer = lambda handler: reply(
        handler, 200, {"choices": [{"message": {"content": "Bonjour"}}], "data": [{"id": "m"}, {"id": "n"}]}
    )
    assert chat(script.url, HELLO) == chat(Server(script.url, ("n",), "k"), HELLO, max_tokens=1) == "Bonjour"
    asked = [request for request in script.seen if request["body"]]
    assert [(request["body"]["model"], request["key"]) for request in asked] == [("m", None), ("n", "Bearer k")]
    assert asked[1]["body"]["max_tokens"] == 1


def test_tokenize(script: ScriptedServer, client: Client):
    script.answer = lambda handler: reply(handler, 200, {"tokens": [1, 2]})
    assert client.tokenize(HELLO, tools=[]) == [1, 2]
    given = {"model": "m", "messages": HELLO, "add_generation_prompt": True, "add_special_tokens": False, "tools": []}
    assert script.seen == [{"path": "/tokenize", "key": None, "body": given}]
    script.answer = lambda handler: reply(handler, 200, {"count": 2})
    with pytest.raises(Refused):
        client.tokenize(HELLO)


def test_a_run_keeps_its_server_without_the_key(monkeypatch: pytest.MonkeyPatch):
    run = Run(verb="ask", job="", options={"api_key_env": "A_KEY"}, server=Server("http://there/v1", ("m",), "secret", Path("runs/x")))
    text = json.dumps(run.to_json())
    assert "secret" not in text
    again = Run.from_json(json.loads(text))
    assert again.server == Server("http://there/v1", ("m",))
    monkeypatch.setenv("A_KEY", "secret")
    assert server_of(again) == Server("http://there/v1", ("m",), "secret")
    with pytest.raises(UsageError, check=coded("SERVE-073"), match="--url"):
        server_of(Run(verb="ask", job=""))


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(SwiftError, check=coded("SERVE-082")) as caught:
        Client(Server.at(url)).complete(HELLO, model="m")
    assert "swift serve" in caught.value.hint
    assert caught.value.where == url


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://there/v1"])
def test_not_a_url(url: str):
    with pytest.raises(UsageError, check=coded("SERVE-083"), match="URL"):
        Client(Server.at(url)).models()


def test_wrong_key(script: ScriptedServer):
    script.answer = lambda handler: reply(handler, 401, error("no"))
    with pytest.raises(UsageError, check=coded("SERVE-085"), match="rejects the API key: no") as caught:
        Client(Server(script.url, ("m",), "sk-secret")).complete(HELLO)
    assert "SWIFT_API_KEY" in caught.value.hint
    assert "sk-secret" not in str(caught.value)


def test_unknown_model_says_which_there_are(script: ScriptedServer, client: Client):
    script.answer = lambda handler: (
        reply(handler, 404, error("no"))
        if handler.command == "POST"
        else reply(handler, 200, {"data": [{"id": "smollm2"}, {"id": "poet"}]})
    )
    with pytest.raises(UsageError, check=coded("SERVE-066"), match="'smollm'") as caught:
        client.complete(HELLO, model="smollm")
    assert caught.value.hint == "Did you mean 'smollm2'? Served: smollm2, poet."


@pytest.mark.parametrize(
    ("status", "kind", "words"), [(400, UsageError, "rejects the request: why"), (500, SwiftError, r"failed \(500\): why")]
)
def test_other_refusals(script: ScriptedServer, client: Client, status: int, kind: type[SwiftError], words: str):
    script.answer = lambda handler: reply(handler, status, error("why"))
    with pytest.raises(kind, match=words):
        client.complete(HELLO)
    script.answer = lambda handler: reply(handler, status, b"<html>why</html>")
    with pytest.raises(kind, match="why"):
        client.complete(HELLO)


def test_a_busy_server_is_asked_again(script: ScriptedServer, client: Client):
    answers = [
        (429, error("full"), {"retry_after": "0"}),
        (503, error("loading"), {"retry_after": "0"}),
        (200, events(delta("at last")), {}),
    ]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        status, body, headers = answers[len(script.seen) - 1]
        reply(handler, status, body, **headers)

    script.answer = answer
    assert list(client.chat(HELLO)) == ["at last"]
    assert len(script.seen) == 3


def test_a_server_that_stays_busy(script: ScriptedServer, client: Client, monkeypatch: pytest.MonkeyPatch):
    pauses: list[float] = []
    monkeypatch.setattr(transport.time, "sleep", pauses.append)
    script.answer = lambda handler: reply(handler, 429, error("full"))
    with pytest.raises(SwiftError, check=coded("SERVE-086"), match="busy: full"):
        client.complete(HELLO)
    assert pauses == [0.5, 1, 2, 4, 8]


def test_a_stream_that_is_cut(script: ScriptedServer, client: Client):
    script.answer = lambda handler: reply(handler, 200, events(delta("Bon"), done=False))
    stream = client.chat(HELLO)
    assert next(stream) == "Bon"
    with pytest.raises(SwiftError, check=coded("SERVE-080")):
        next(stream)
    script.answer = lambda handler: reply(handler, 200, events(delta("Bon"), done=False), content_length="1000")
    with pytest.raises(SwiftError, check=coded("SERVE-080")):
        list(client.chat(HELLO))


def test_a_failure_in_mid_stream(script: ScriptedServer, client: Client):
    script.answer = lambda handler: reply(handler, 200, events(delta("Bon"), error("out of memory"), done=False))
    with pytest.raises(SwiftError, check=coded("SERVE-067"), match="out of memory"):
        list(client.chat(HELLO))


def test_something_else_answers(script: ScriptedServer, client: Client):
    script.answer = lambda handler: reply(handler, 200, b"<html>welcome</html>")
    with pytest.raises(SwiftError, check=coded("SERVE-081"), match="not JSON"):
        client.models()


def test_wait_ready(script: ScriptedServer):
    script.answer = lambda handler: reply(handler, 200 if len(script.seen) > 2 else 503, {})
    assert wait_ready(script.url, lambda: True, 120)
    assert not wait_ready(script.url, lambda: False, 120)
    script.answer = lambda handler: reply(handler, 503, {})
    assert not wait_ready(script.url, lambda: True, 0.3)
