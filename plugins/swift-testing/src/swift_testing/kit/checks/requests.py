"""What clients rely on of a backend: limits, streams that stop, requests that are given up, adapters that take turns."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from swift_serve import client

from swift_testing.kit import served, tiny
from swift_testing.kit.checks.backends import ADAPTER, BACKEND, NEEDS, answer, engine_of, stream
from swift_testing.kit.model import Skip, check, require
from swift_testing.kit.served import Served
from swift_testing.kit.subject import Subject

_GIVEN_UP = 4
_TURNS = 4
PATIENCE = 60.0  # seconds for an answer beside requests that nobody waits for


@check(BACKEND, needs=NEEDS)
def check_routes(subject: Subject) -> None:
    """`serves` is true of it: `completions` continues a text as it stands; a route that it does not name is refused."""
    engine = engine_of(subject)
    body = {"model": served.NAME, "prompt": "The capital of France is", "temperature": 0, "max_tokens": 4}
    status = client.status(engine.server.url, "/completions", body, api_key=engine.server.api_key)
    if "completions" not in subject.spec.serves:
        require(status != 200, "it says that it serves no completions, and answers them")
        return
    require(status == 200, f"it says that it serves completions, and answers {status}")
    found = client.post(engine.server.url, "/completions", body, api_key=engine.server.api_key)
    require(isinstance(found["choices"][0].get("text"), str), "its completions have no text")


@check(BACKEND, needs=NEEDS)
def check_max_tokens(subject: Subject) -> None:
    """An answer ends at `max_tokens` and says so: what it costs, and whether it fits, depends on that."""
    engine = engine_of(subject)
    whole = answer(engine)
    if len(whole) < 4:
        raise Skip("the tiny model says too little to be cut")
    body = {"model": served.NAME, "messages": tiny.QUESTION, "temperature": 0, "max_tokens": 2}
    found = client.post(engine.server.url, "/chat/completions", body, api_key=engine.server.api_key)
    choice = found["choices"][0]
    said = choice["message"]["content"] or ""
    require(len(said) < len(whole) and whole.startswith(said), f"with max_tokens=2 it says {said!r}, with 16 {whole!r}")
    require(
        choice.get("finish_reason") == "length", f"cut at max_tokens its finish_reason is {choice.get('finish_reason')!r}, not 'length'"
    )
    used = (found.get("usage") or {}).get("completion_tokens")
    require(used in (None, 2), f"with max_tokens=2 it counts {used} completion_tokens")


@check(BACKEND, needs=NEEDS)
def check_stop_words_in_a_stream(subject: Subject) -> None:
    """A stream ends before a `stop` text too, and no part of the text has been sent before it was seen to be one."""
    engine = engine_of(subject)
    whole = answer(engine)
    if len(whole.strip()) < 4:
        raise Skip("the tiny model says too little to be stopped")
    word = whole[len(whole) // 2 :][:3]
    said = "".join(stream(engine, temperature=0, max_tokens=16, stop=[word]))
    require(said == whole[: whole.index(word)], f"streamed with stop={word!r} it says {said!r}, without it {whole!r}")


@check(BACKEND, needs=NEEDS)
def check_a_client_that_leaves(subject: Subject) -> None:
    """Requests that are given up in the middle disturb nobody: the next one is answered, as before, and in time."""
    engine = engine_of(subject)
    before = answer(engine)
    for number in range(_GIVEN_UP):
        with _asked(engine, streamed=number % 2 == 0, max_tokens=400, temperature=1.5) as connection:
            if number % 2 == 0:
                connection.recv(64)
            else:
                time.sleep(0.2)
    time.sleep(1)  # for the engine to notice
    try:
        with _asked(engine, streamed=False, max_tokens=16, temperature=0) as connection:
            connection.recv(1)
    except TimeoutError:
        require(False, f"{_GIVEN_UP} clients have left, and the next one had no answer after {PATIENCE:.0f} seconds")
    after = answer(engine)
    require(after == before, f"before clients left it said {before!r}, and after it {after!r}")
    require(engine.process.poll() is None, "it ended when clients left")


@check(BACKEND, needs=NEEDS)
def check_adapters_take_turns(subject: Subject) -> None:
    """Questions to the base and to an adapter at one time have the answers that they have one by one."""
    if not subject.spec.adapters:
        raise Skip("it serves no adapters")
    engine = engine_of(subject)
    names = [served.NAME, subject.spec.adapter_model(served.NAME, ADAPTER)]
    alone = {name: answer(engine, name) for name in names}
    asked = names * _TURNS
    with ThreadPoolExecutor(len(asked)) as pool:
        said = list(pool.map(lambda name: answer(engine, name), asked))
    mixed = [f"'{name}' says {text!r}, alone {alone[name]!r}" for name, text in zip(asked, said, strict=True) if text != alone[name]]
    require(not mixed, f"asked at one time, {'; '.join(dict.fromkeys(mixed))}")


def _asked(engine: Served, *, streamed: bool, max_tokens: int, temperature: float) -> socket.socket:
    """A connection on which an answer is to come."""
    body = {"model": served.NAME, "messages": tiny.QUESTION, "temperature": temperature, "max_tokens": max_tokens, "stream": streamed}
    content = json.dumps(body).encode()
    head = ["POST /v1/chat/completions HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(content)}"]
    if engine.server.api_key:
        head.append(f"Authorization: Bearer {engine.server.api_key}")
    connection = socket.create_connection(("127.0.0.1", engine.port), timeout=PATIENCE)
    connection.sendall("\r\n".join([*head, "", ""]).encode() + content)
    return connection
