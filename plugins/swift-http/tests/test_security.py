"""What strangers may send: generated requests, slow ones, huge ones, broken ones; and what they must never get."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from swift_http import Limits, create_app
from swift_http.server import IdleTimeoutProtocol
from swift_http.testing import HANG, KEY, FakeEngine, Served, chat, until


class Patient(FakeEngine):
    """An engine that no text makes fail: generated prompts are only text."""

    context = 10_000

    def decode(self, tokens: Any) -> str:
        return "" if any(token >= 0x110000 or 0xD800 <= token < 0xE000 for token in tokens) else super().decode(tokens)

    async def unload_adapter(self, name: str) -> None:
        self.loaded.pop(name, None)


APP = create_app(Patient(), api_key=KEY, adapter_folders=[Path(__file__).parent])
DOCUMENT = schemathesis.openapi.from_asgi("/openapi.json", APP, headers={"Authorization": f"Bearer {KEY}"})


@DOCUMENT.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_the_document_is_true_of_generated_requests(case: schemathesis.Case):
    response = case.call(headers={"Authorization": f"Bearer {KEY}"})
    assert response.status_code < 500
    case.validate_response(
        response,
        checks=[
            content_type_conformance,
            response_schema_conformance,
            response_headers_conformance,
            status_code_conformance,
            negative_data_rejection,
        ],
    )


def test_the_document_lists_every_route_and_needs_the_key():
    assert set(DOCUMENT.raw_schema["paths"]) == {
        "/detokenize",
        "/health",
        "/metrics",
        "/tokenize",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/load_lora_adapter",
        "/v1/models",
        "/v1/models/{name}",
        "/v1/responses",
        "/v1/unload_lora_adapter",
    }
    with Served() as served:
        assert served.get("/openapi.json", key="wrong").status_code == 401
        assert served.get("/docs").status_code == 404


# -- over a socket -------------------------------------------------------------------------------------------------------


@pytest.fixture
def served() -> Iterator[Served]:
    with Served(limits=Limits(max_requests=4, max_body_bytes=20_000)) as made:
        yield made


@pytest.fixture
def hasty() -> Iterator[Served]:
    """One that waits for no body."""
    with Served(limits=Limits(body_timeout=0.3)) as made:
        yield made


def raw(served: Served, data: bytes, *, whole: bool = False) -> bytes:
    """What comes back for bytes on the wire until the server closes. If they are the `whole`, the sending side is shut down."""
    host, port = served.socket.getsockname()
    with socket.create_connection((host, port), timeout=HANG) as connection:
        answer = b""
        with suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(data)
            if whole:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
        return answer


def head(length: int | str, *more: str) -> bytes:
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: x", f"Authorization: Bearer {KEY}", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Content-Length: {length}", *more, "", ""]).encode()


def test_a_body_that_does_not_come_is_not_waited_for(hasty: Served):
    answer = raw(hasty, head(100) + b'{"model"')
    assert b" 408 " in answer.splitlines()[0]


def test_a_body_that_drips_is_not_waited_for(hasty: Served):
    host, port = hasty.socket.getsockname()
    with socket.create_connection((host, port), timeout=HANG) as connection:
        connection.sendall(head(4000))
        with pytest.raises(OSError):  # noqa: PT011 (a reset or a broken pipe, as the system has it)
            for _ in range(3999):
                connection.sendall(b" ")
                time.sleep(0.05)


@pytest.mark.slow
def test_headers_that_do_not_come_are_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(IdleTimeoutProtocol, "seconds", 0.5)
    with Served(limits=Limits(timeout=2)) as served:
        assert raw(served, b"") == b""
        whole = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        assert raw(served, whole + b"GET /hea").count(b"200 OK") == 1
        assert raw(served, b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n") == b""
        slow = served.ask("wait")  # an answer may take longer than a question
        assert slow.status_code == 504


def test_a_crowd_that_says_nothing_keeps_nobody_out(served: Served):
    host, port = served.socket.getsockname()
    crowd = [socket.create_connection((host, port)) for _ in range(200)]
    for connection in crowd[:100]:
        connection.sendall(b"POST / HTTP/1.1\r\nX-")
    assert served.ask().status_code == 200
    for connection in crowd:
        connection.close()


def test_more_than_was_declared_and_more_than_is_allowed(served: Served):
    assert b" 413 " in raw(served, head(10**12)).splitlines()[0]
    chunked = head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 25
    assert b" 413 " in raw(served, chunked).splitlines()[0]
    assert b" 200 " not in raw(served, b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 200_000 + b"\r\n\r\n")
    assert served.ask().status_code == 200


@pytest.mark.parametrize("data", [b"\x00" * 100, b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00", head("minus"), head(-1)])
def test_what_is_no_http(served: Served, data: bytes):
    answer = raw(served, data, whole=True)
    assert answer == b"" or b" 400 " in answer.splitlines()[0]
    assert served.ask().status_code == 200


@pytest.mark.parametrize("deep", ['{"a":' * 3000 + "1" + "}" * 3000, "[" * 19_000])
def test_deep_json(served: Served, deep: str):
    response = served.post("/v1/chat/completions", content=deep.encode(), headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    body = chat(tools=[{"type": "function", "function": {"name": "f", "parameters": json.loads('{"a":' * 150 + "1" + "}" * 150)}}])
    assert served.post("/v1/chat/completions", body).status_code in (200, 400)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "-0.5", '"\\ud800"', "null", "true", "{}", "[]", "10" * 100])
@pytest.mark.parametrize("field", ["temperature", "max_tokens", "seed", "stop", "n", "messages", "tools", "response_format", "stream"])
def test_wrong_types(served: Served, field: str, value: str):
    rest = {name: entry for name, entry in chat().items() if name != field}
    body = json.dumps(rest)[:-1] + f', "{field}": {value}}}'
    response = served.post("/v1/chat/completions", content=body.encode(), headers={"Content-Type": "application/json"})
    assert response.status_code in (200, 400)


# -- what never goes out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/health", "/openapi.json"])
def test_cors_is_closed(served: Served, method: str, path: str):
    headers = {"Origin": "http://evil", "Access-Control-Request-Method": "POST", "Authorization": f"Bearer {KEY}"}
    response = httpx2.request(method, served.url.removesuffix("/v1") + path, headers=headers, timeout=HANG)
    assert not any(name.lower().startswith("access-control") for name in response.headers)


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "file:///etc/passwd", "data:image/png;base64,AAAA", "https://x/y.png"])
def test_addresses_of_images_are_never_followed(served: Served, url: str, monkeypatch: pytest.MonkeyPatch):
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    response = served.post("/v1/chat/completions", chat(messages=[{"role": "user", "content": parts}]))
    assert response.status_code == 400
    assert "image_url" in response.json()["error"]["message"]
    assert url not in response.text


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/v1/models/..%2f..%2fetc%2fpasswd", "/v1/models//etc/passwd", "/%2e%2e/etc/passwd"])
def test_paths_read_nothing(served: Served, path: str):
    answer = raw(served, f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n".encode())
    assert b" 404 " in answer.splitlines()[0]
    assert b"root:" not in answer


def test_no_key_and_no_prompt_in_any_log(served: Served, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]):
    caplog.set_level(logging.DEBUG)
    served.ask("a private matter")
    served.ask("crash a private matter")
    served.ask("fail early a private matter")
    served.post("/v1/chat/completions", chat("a private matter"), key=KEY + "wrong")
    raw(served, head(20) + b"{broken", whole=True)
    until(lambda: any("request failed" in record.message for record in caplog.records))
    said = caplog.text + "".join(capfd.readouterr())
    assert KEY not in said
    assert "a private matter" not in said
