"""Checks of a backend from the clients' side: token limits, stop texts in streams, cancelled requests, concurrent adapters."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from swift_serve.client import Client

from swift_testing.kit import served, tiny
from swift_testing.kit.checks.backends import ADAPTER, BACKEND, NEEDS, answer, engine_of, stream
from swift_testing.kit.model import Skip, check, require
from swift_testing.kit.served import Served
from swift_testing.kit.subject import Subject

_CANCELLED = 4
_TURNS = 4
PATIENCE = 60.0  # maximum seconds for an answer after cancelled requests


@check(BACKEND, needs=NEEDS)
def check_routes(subject: Subject) -> None:
    """`serves` is accurate: with `completions`, the route continues a text; a route that is not listed is refused."""
    engine = engine_of(subject)
    body = {"model": served.NAME, "prompt": "The capital of France is", "temperature": 0, "max_tokens": 4}
    status = Client(engine.server).status("/completions", body)
    if "completions" not in subject.spec.serves:
        require(status != 200, "`serves` does not list completions, but the route answers")
        return
    require(status == 200, f"`serves` lists completions, but the route answers with status {status}")
    found = Client(engine.server).post("/completions", body)
    require(isinstance(found["choices"][0].get("text"), str), "the response of /v1/completions has no text")


@check(BACKEND, needs=NEEDS)
def check_max_tokens(subject: Subject) -> None:
    """An answer ends at `max_tokens`, with the finish_reason `length`: clients rely on it to limit cost and context."""
    engine = engine_of(subject)
    whole = answer(engine)
    if len(whole) < 4:
        raise Skip("the tiny model's answer is too short to be cut")
    body = {"model": served.NAME, "messages": tiny.QUESTION, "temperature": 0, "max_tokens": 2}
    found = Client(engine.server).post("/chat/completions", body)
    choice = found["choices"][0]
    text = choice["message"]["content"] or ""
    require(len(text) < len(whole) and whole.startswith(text), f"with max_tokens=2 it answers {text!r}, with 16 {whole!r}")
    require(
        choice.get("finish_reason") == "length", f"with max_tokens=2 its finish_reason is {choice.get('finish_reason')!r}, not 'length'"
    )
    used = (found.get("usage") or {}).get("completion_tokens")
    require(used in (None, 2), f"with max_tokens=2 it reports {used} completion_tokens")


@check(BACKEND, needs=NEEDS)
def check_stop_strings_in_stream(subject: Subject) -> None:
    """A stream ends before a `stop` text, and sends no part of that text."""
    engine = engine_of(subject)
    whole = answer(engine)
    if len(whole.strip()) < 4:
        raise Skip("the tiny model's answer is too short to be stopped")
    word = whole[len(whole) // 2 :][:3]
    text = "".join(stream(engine, temperature=0, max_tokens=16, stop=[word]))
    require(text == whole[: whole.index(word)], f"streamed with stop={word!r} it answers {text!r}, without it {whole!r}")


@check(BACKEND, needs=NEEDS)
def check_client_disconnect(subject: Subject) -> None:
    """Requests that clients cancel don't affect others: the next one gets the same answer as before, and in time."""
    engine = engine_of(subject)
    before = answer(engine)
    for number in range(_CANCELLED):
        with _requested(engine, streamed=number % 2 == 0, max_tokens=400, temperature=1.5) as connection:
            if number % 2 == 0:
                connection.recv(64)
            else:
                time.sleep(0.2)
    time.sleep(1)  # for the engine to notice
    try:
        with _requested(engine, streamed=False, max_tokens=16, temperature=0) as connection:
            connection.recv(1)
    except TimeoutError:
        require(False, f"after {_CANCELLED} cancelled requests, the next one had no answer within {PATIENCE:.0f} seconds")
    after = answer(engine)
    require(after == before, f"it answers {after!r} after cancelled requests, and {before!r} before them")
    require(engine.process.poll() is None, "it ended when clients cancelled their requests")


@check(BACKEND, needs=NEEDS)
def check_concurrent_adapters(subject: Subject) -> None:
    """Concurrent requests to the base and to an adapter get the same answers as sequential ones."""
    if not subject.spec.adapters:
        raise Skip("it serves no adapters")
    engine = engine_of(subject)
    names = [served.NAME, subject.spec.adapter_model(served.NAME, ADAPTER)]
    sequential = {name: answer(engine, name) for name in names}
    requests = names * _TURNS
    with ThreadPoolExecutor(len(requests)) as pool:
        answers = list(pool.map(lambda name: answer(engine, name), requests))
    mixed = [
        f"'{name}' answers {text!r}, and alone {sequential[name]!r}"
        for name, text in zip(requests, answers, strict=True)
        if text != sequential[name]
    ]
    require(not mixed, f"with concurrent requests, {'; '.join(dict.fromkeys(mixed))}")


def _requested(engine: Served, *, streamed: bool, max_tokens: int, temperature: float) -> socket.socket:
    """Send a request and return the connection on which the response will arrive."""
    body = {"model": served.NAME, "messages": tiny.QUESTION, "temperature": temperature, "max_tokens": max_tokens, "stream": streamed}
    content = json.dumps(body).encode()
    head = ["POST /v1/chat/completions HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(content)}"]
    if engine.server.api_key:
        head.append(f"Authorization: Bearer {engine.server.api_key}")
    connection = socket.create_connection(("127.0.0.1", engine.port), timeout=PATIENCE)
    connection.sendall("\r\n".join([*head, "", ""]).encode() + content)
    return connection
