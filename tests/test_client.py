"""The client against a server that says what the test wants, faults and all."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from swift_core import client
from swift_core.errors import SwiftError, UsageError

HELLO = [{"role": "user", "content": "hello"}]


class Script:
    """A server on a port of its own; `answer` is called with each request, and `seen` keeps them."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda handler: reply(handler, 404, {})
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                script.take(self, None)

            def do_POST(self) -> None:
                script.take(self, json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def take(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        self.seen.append({"path": handler.path, "key": handler.headers.get("authorization"), "body": body})
        self.answer(handler)


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    script.thread.start()
    yield script
    script.server.shutdown()
    script.thread.join()
    script.server.server_close()


def reply(handler: BaseHTTPRequestHandler, status: int, body: Any, **headers: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"content-length": str(len(content)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def error(message: str) -> dict[str, Any]:
    return {"error": {"message": message}}


def events(*values: Any, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(value)}\n\n" for value in values]
    return (": a comment\n\n" + "".join(lines) + ("data: [DONE]\n\n" if done else "")).encode()


def delta(text: str | None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text} if text is not None else {}}]}


def test_stream(script: Script):
    script.answer = lambda handler: reply(
        handler, 200, events(delta(""), delta("Bon"), delta("jour"), delta(None), {"choices": [], "usage": {}})
    )
    assert list(client.chat(script.url + "/", HELLO, model="m", api_key="k", temperature=0)) == ["Bon", "jour"]
    assert script.seen == [
        {"path": "/v1/chat/completions", "key": "Bearer k", "body": {"model": "m", "messages": HELLO, "stream": True, "temperature": 0}}
    ]


def test_complete_and_models(script: Script):
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
    with pytest.raises(SwiftError, match="nobody answers there") as caught:
        client.complete(url, HELLO, model="m")
    assert "swift serve" in caught.value.hint
    assert caught.value.where == url


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://there/v1"])
def test_not_a_url(url: str):
    with pytest.raises(UsageError, match="not the URL of a server"):
        client.models(url)


def test_wrong_key(script: Script):
    script.answer = lambda handler: reply(handler, 401, error("no"))
    with pytest.raises(UsageError, match="refuses the API key: no") as caught:
        client.complete(script.url, HELLO, model="m", api_key="sk-secret")
    assert "SWIFT_API_KEY" in caught.value.hint
    assert "sk-secret" not in str(caught.value)


def test_unknown_model_says_which_there_are(script: Script):
    script.answer = lambda handler: (
        reply(handler, 404, error("no"))
        if handler.command == "POST"
        else reply(handler, 200, {"data": [{"id": "smollm2"}, {"id": "poet"}]})
    )
    with pytest.raises(UsageError, match="there is no model 'smollm'") as caught:
        client.complete(script.url, HELLO, model="smollm")
    assert caught.value.hint == "Did you mean 'smollm2'? Served: smollm2, poet."


@pytest.mark.parametrize(
    ("status", "kind", "words"), [(400, UsageError, "refuses the request: why"), (500, SwiftError, r"failed \(500\): why")]
)
def test_other_refusals(script: Script, status: int, kind: type[SwiftError], words: str):
    script.answer = lambda handler: reply(handler, status, error("why"))
    with pytest.raises(kind, match=words):
        client.complete(script.url, HELLO, model="m")
    script.answer = lambda handler: reply(handler, status, b"<html>why</html>")
    with pytest.raises(kind, match="why"):
        client.complete(script.url, HELLO, model="m")


def test_a_busy_server_is_asked_again(script: Script):
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


def test_a_server_that_stays_busy(script: Script, monkeypatch: pytest.MonkeyPatch):
    pauses: list[float] = []
    monkeypatch.setattr(client.time, "sleep", pauses.append)
    script.answer = lambda handler: reply(handler, 429, error("full"))
    with pytest.raises(SwiftError, match="busy: full"):
        client.complete(script.url, HELLO, model="m")
    assert pauses == [0.5, 1, 2, 4, 8]


def test_a_stream_that_is_cut(script: Script):
    script.answer = lambda handler: reply(handler, 200, events(delta("Bon"), done=False))
    stream = client.chat(script.url, HELLO, model="m")
    assert next(stream) == "Bon"
    with pytest.raises(SwiftError, match="cut in the middle"):
        next(stream)
    script.answer = lambda handler: reply(handler, 200, events(delta("Bon"), done=False), content_length="1000")
    with pytest.raises(SwiftError, match="cut in the middle"):
        list(client.chat(script.url, HELLO, model="m"))


def test_a_failure_in_mid_stream(script: Script):
    script.answer = lambda handler: reply(handler, 200, events(delta("Bon"), error("out of memory"), done=False))
    with pytest.raises(SwiftError, match="out of memory"):
        list(client.chat(script.url, HELLO, model="m"))


def test_something_else_answers(script: Script):
    script.answer = lambda handler: reply(handler, 200, b"<html>welcome</html>")
    with pytest.raises(SwiftError, match="not JSON"):
        client.models(script.url)


def test_wait_ready(script: Script):
    script.answer = lambda handler: reply(handler, 200 if len(script.seen) > 2 else 503, {})
    assert client.wait_ready(script.url, lambda: True, 5)
    assert not client.wait_ready(script.url, lambda: False, 5)
    script.answer = lambda handler: reply(handler, 503, {})
    begin = time.monotonic()
    assert not client.wait_ready(script.url, lambda: True, 0.3)
    assert time.monotonic() - begin < 1
