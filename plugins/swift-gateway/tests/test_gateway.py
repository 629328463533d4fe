"""The gateway in front of servers that speak the protocol without a model."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest
import uvicorn
from swift_gateway.app import create_app
from swift_gateway.config import ServerAddress, parse
from swift_gateway.prefixes import BLOCK, PrefixTable
from swift_gateway.quotas import Bucket
from swift_gateway.servers import Demand, Pool, Upstream
from swift_http.disconnects import DisconnectingClient
from swift_http.errors import ApiError
from swift_http.server import bind, url_of
from swift_testing.fake_engine import FakeEngine
from swift_testing.scripted import reply

from swift_core.cli import invoke
from swift_core.contract import UsageError

CHAT = {"model": "fake", "messages": [{"role": "user", "content": "Hello?"}]}


class Gateway:
    """A gateway in a thread of this process."""

    def __init__(self, urls: list[str], *, api_key: str = "", **values: Any) -> None:
        config = parse({"servers": urls, "probe_interval": 0.1, **values}, where="")
        self.app = create_app(config, api_key=api_key)
        self._bound = bind("127.0.0.1", 0)
        self.url = url_of(self._bound)
        self._server = uvicorn.Server(uvicorn.Config(self.app, log_level="error", timeout_graceful_shutdown=2))
        self._http = httpx2.Client(timeout=30, limits=httpx2.Limits(max_connections=64))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._bound]})

    @property
    def pool(self) -> Any:
        return self.app.state.pool

    def __enter__(self) -> Gateway:
        self._thread.start()
        wait_for(lambda: self._server.started and all(upstream.up for upstream in self.pool.upstreams))
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._server.should_exit = True
        self._thread.join()
        self._bound.close()

    def post(self, body: dict[str, Any] | None = None, *, key: str = "", path: str = "/chat/completions") -> httpx2.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return self._http.post(f"{self.url}{path}", json=CHAT if body is None else body, headers=headers)

    def metric(self, name: str, key: str = "") -> float:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        text = httpx2.get(f"{self.url.removesuffix('/v1')}/metrics", headers=headers).text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(rf"{re.escape(name)}(\{{|\s)", line))


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def engines(*answers: str, **more: Any) -> Iterator[list[FakeEngine]]:
    with ExitStack() as stack:
        yield [stack.enter_context(FakeEngine(answer, **more)) for answer in answers]


def text_of(response: httpx2.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


def test_answers_pass_unchanged_and_are_counted() -> None:
    with engines("Hello there.") as (engine,), Gateway([engine.url]) as gateway:
        assert text_of(gateway.post()) == "Hello there."
        stream = gateway.post({**CHAT, "stream": True}).text
        assert stream.endswith("data: [DONE]\n\n")
        assert "there." in stream
        assert httpx2.get(f"{gateway.url}/models").json()["data"][0]["id"] == "fake"
        assert gateway.metric("swift_gateway_requests_total") == 2
        assert gateway.metric("swift_gateway_tokens_total") == len("Hello?") + len("Hello there.")  # a stream reports none
        assert gateway.metric("swift_gateway_server_running") == 0


def test_a_request_goes_to_a_server_of_its_model() -> None:
    with engines("one") as (first,), engines("two", models=("other",)) as (second,), Gateway([first.url, second.url]) as gateway:
        assert [text_of(gateway.post({**CHAT, "model": name})) for name in ("fake", "other", "fake")] == ["one", "two", "one"]
        refused = gateway.post({**CHAT, "model": "third"})
        assert refused.status_code == 404
        assert refused.json()["error"]["code"] == "model_not_found"


def test_requests_are_spread_and_prefixes_return() -> None:
    long = {**CHAT, "messages": [{"role": "user", "content": "a" * 8 * BLOCK}]}
    with engines("one", "two") as (first, second), Gateway([first.url, second.url]) as gateway:
        again = {text_of(gateway.post(long)) for _ in range(4)}
        assert len(again) == 1  # the server that has seen it
        seen = {"one": first, "two": second}
        other = next(name for name in seen if name not in again)
        busy = next(upstream for upstream in gateway.pool.upstreams if upstream.url == seen[again.pop()].url)
        busy.outstanding += 10_000
        assert text_of(gateway.post(long)) == other  # its work weighs more than the prefix


@pytest.mark.parametrize("stream", [False, True])
def test_a_dead_server_is_replaced_before_the_first_token(stream: bool) -> None:
    with engines("one", "two") as (first, second), Gateway([first.url, second.url], probe_interval=60) as gateway:
        first.__exit__(None, None, None)
        answers = [gateway.post({**CHAT, "stream": stream}) for _ in range(4)]
        assert all(answer.status_code == 200 and "two" in answer.text for answer in answers)
        assert not next(upstream for upstream in gateway.pool.upstreams if upstream.url == first.url).up


def test_a_server_in_trouble_is_replaced_and_its_answer_returned_if_all_are() -> None:
    with engines("one", "two") as (first, second), Gateway([first.url, second.url]) as gateway:
        first.answer = _status(503)
        assert all(text_of(gateway.post()) == "two" for _ in range(4))
        second.answer = _status(429)
        assert gateway.post().status_code in (429, 503)
        assert gateway.metric("swift_gateway_server_running") == 0


def test_a_stream_that_breaks_ends_with_an_error() -> None:
    with engines("one") as (engine,), Gateway([engine.url]) as gateway:
        engine.answer = _broken_stream(engine.answer)
        answer = gateway.post({**CHAT, "stream": True}).text
        last = [line for line in answer.splitlines() if line.startswith("data: ")][-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "server_failed"
        assert gateway.pool.upstreams[0].running == 0


def test_a_full_queue_answers_429_and_a_long_wait_503() -> None:
    with engines("one") as (engine,), Gateway([engine.url], max_running=1, max_queue=1, queue_timeout=0.5) as gateway:
        release, ask = threading.Event(), engine.answer
        engine.answer = lambda handler: (release.wait(20) if handler.asked["path"].endswith("completions") else None, ask(handler))[1]
        with ThreadPoolExecutor(3) as pool:
            running = pool.submit(gateway.post)
            wait_for(lambda: gateway.pool.upstreams[0].running == 1)
            waiting = pool.submit(gateway.post)
            wait_for(lambda: gateway.pool.queued == 1)
            full = gateway.post()
            assert full.status_code == 429
            assert full.headers["retry-after"]
            assert waiting.result().status_code == 503
            release.set()
            assert running.result().status_code == 200


def test_keys_and_quotas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM", "secret")
    keys = [{"name": "team", "key_env": "TEAM", "requests_per_minute": 2}]
    with engines("one") as (engine,), Gateway([engine.url], keys=keys, api_key="own") as gateway:
        assert gateway.post().status_code == gateway.post(key="wrong").status_code == 401
        assert [gateway.post(key="secret").status_code for _ in range(3)] == [200, 200, 429]
        assert {gateway.post(key="own").status_code for _ in range(4)} == {200}
        assert httpx2.get(f"{gateway.url.removesuffix('/v1')}/metrics", headers={"Authorization": "Bearer secret"}).status_code == 403
        assert gateway.metric("swift_gateway_requests_total", key="own") == 7  # wrong keys are not counted
        assert "secret" not in json.dumps(engine.seen)


def test_a_server_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE", "inner")
    with engines("one", api_key="inner") as (engine,), Gateway([{"url": engine.url, "api_key_env": "ENGINE"}]) as gateway:
        assert text_of(gateway.post()) == "one"


def test_a_drained_server_gets_no_more_requests() -> None:
    with engines("one", "two") as (first, second), Gateway([first.url, second.url]) as gateway:
        drain = f"{gateway.url.removesuffix('/v1')}/gateway/drain"
        assert httpx2.post(drain, json={"url": first.url}).json()["draining"]
        assert {text_of(gateway.post()) for _ in range(4)} == {"two"}
        assert httpx2.post(drain, json={"url": second.url}).status_code == 200
        assert httpx2.get(f"{gateway.url.removesuffix('/v1')}/health").status_code == 503
        assert not httpx2.post(drain, json={"url": first.url, "draining": False}).json()["draining"]
        assert text_of(gateway.post()) == "one"
        assert httpx2.post(drain, json={"url": "http://nowhere/v1"}).status_code == 404


def test_clients_that_go_leave_nothing_behind() -> None:
    with engines("one two three four " * 200) as (engine,), Gateway([engine.url]) as gateway:
        address = ("127.0.0.1", int(gateway.url.rsplit(":", 1)[1].removesuffix("/v1")))
        client = DisconnectingClient(
            address, {"/v1/chat/completions": {**CHAT, "stream": True}, "/v1/completions": {"model": "fake", "prompt": "a"}}
        )
        for _ in range(3):
            assert [*client.each()]
        wait_for(lambda: gateway.pool.upstreams[0].running == gateway.pool.upstreams[0].outstanding == gateway.pool.queued == 0)
        assert gateway.post().status_code == 200


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.full("serve"))])
def test_servers_that_die_at_random_lose_no_request_that_had_not_begun(count: int) -> None:
    """Streamed and whole, while two of three servers refuse and break connections before their answer, at random instants."""
    random, down = Random(0), [False, False, False]
    with engines(*["the answer"] * 3) as three, Gateway([engine.url for engine in three], max_running=32) as gateway:
        for number, engine in enumerate(three):
            engine.answer = _dying(engine.answer, lambda number=number: down[number])
        with ThreadPoolExecutor(16) as pool:
            futures = [pool.submit(gateway.post, {**CHAT, "stream": bool(number % 2)}) for number in range(count)]
            while not all(future.done() for future in futures):
                down[random.randrange(2)] ^= True
                time.sleep(random.uniform(0, 0.05))
        answers = [future.result() for future in futures]
        assert gateway.metric("swift_gateway_retries_total") > 0
        assert gateway.metric("swift_gateway_server_running") == gateway.metric("swift_gateway_queued") == 0
    assert {answer.status_code for answer in answers} == {200}
    assert all("answer" in answer.text for answer in answers)


def test_a_server_that_restarts_is_waited_for() -> None:
    """One that has never been reached is not."""
    demand = Demand("fake", "", 1)

    async def ask(upstream: Upstream, *, back: bool) -> Upstream:
        pool = Pool(parse({"servers": [upstream.url], "queue_timeout": 0.2}, where=""), [upstream])
        asked = asyncio.create_task(pool.acquire(demand))
        await asyncio.sleep(0.01)
        if back:
            upstream.up = True
            pool.changed()
        return await asked

    def down(*models: str) -> Upstream:
        return Upstream(ServerAddress("http://127.0.0.1:1/v1"), models)

    assert asyncio.run(ask(down("fake"), back=True)).running == 1
    for upstream, code in ((down("fake"), "queue_timeout"), (down(), "no_server")):
        with pytest.raises(ApiError) as caught:
            asyncio.run(ask(upstream, back=False))
        assert caught.value.body["error"]["code"] == code


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"servers": ["ftp://host"]}, "servers"),
        ({"server": []}, ""),
        ({"servers": "http://a/v1"}, "servers"),
        ({"max_running": 0}, "max_running"),
        ({"max_running": 1.5}, "max_running"),
        ({"keys": [{"name": "team"}]}, "keys"),
        ({"servers": [{"uri": "http://a/v1"}]}, "servers"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], where: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(values, where="")
    assert error.value.where == where


@pytest.mark.parametrize(
    ("words", "code"),
    [([], "GATEWAY"), (["http://127.0.0.1:1/v1", "--host", "0.0.0.0"], "GATEWAY"), (["--config", "missing.yaml"], "GATEWAY")],
)
def test_mistakes_on_the_command_line(
    words: list[str], code: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SWIFT_API_KEY", raising=False)
    assert invoke(["gateway", *words]) == 2
    assert code in capsys.readouterr().err


def test_the_file_is_read_again(tmp_path: Path) -> None:
    """By the command itself: a server is added, a wrong file is not taken, and SIGTERM ends it."""
    with engines("one", "two") as (first, second):
        file = tmp_path / "gateway.yaml"
        file.write_text(f"probe_interval: 0.1\nservers: [{first.url}]\n")
        command = [sys.executable, "-P", "-m", "swift_core.cli", "gateway", "--config", str(file), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}) as process:
            assert process.stdout
            assert process.stderr
            url = process.stdout.readline().split()[1]
            servers = f"{url.removesuffix('/v1')}/gateway/servers"

            def names() -> list[str]:
                return [server["url"] for server in httpx2.get(servers).json()["servers"]]

            file.write_text("servers: 3\n")
            time.sleep(0.3)
            assert names() == [first.url]
            file.write_text(f"probe_interval: 0.1\nservers: [{first.url}, {second.url}]\n")
            wait_for(lambda: names() == [first.url, second.url])
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 130
            assert "GATEWAY" in process.stderr.read()


def test_quotas_fill_again() -> None:
    now = [0.0]
    bucket = Bucket(60, lambda: now[0])
    bucket.take(90)
    assert bucket.wait() == 31
    now[0] = 31
    assert bucket.wait() == 0


def test_prefixes_are_bounded_and_forgotten() -> None:
    table = PrefixTable(max_entries=4)
    table.add("m", "a" * BLOCK * 3, "one")
    assert table.tokens_by_server("m", "a" * BLOCK * 3 + "b") == {"one": 3 * BLOCK // 4}
    assert table.tokens_by_server("other", "a" * BLOCK * 3) == {}
    table.add("m", "b" * BLOCK * 4, "two")
    assert table.tokens_by_server("m", "a" * BLOCK * 3) == {}


def _status(code: int) -> Callable[[Any], None]:
    def answer(handler: Any) -> None:
        asked = handler.asked["path"].endswith("completions")
        reply(handler, code if asked else 200, {"error": {"message": "in trouble"}} if asked else {"data": [{"id": "fake"}]})

    return answer


def _broken_stream(usual: Callable[[Any], None]) -> Callable[[Any], None]:
    def answer(handler: Any) -> None:
        if not handler.asked["path"].endswith("completions"):
            usual(handler)
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Content-Length", "10000")
        handler.end_headers()
        handler.wfile.write(b'data: {"choices": []}\n\n')
        handler.wfile.flush()
        handler.connection.close()

    return answer


def _dying(usual: Callable[[Any], None], down: Callable[[], bool]) -> Callable[[Any], None]:
    def answer(handler: Any) -> None:
        if down():
            handler.connection.close()
        else:
            usual(handler)

    return answer
