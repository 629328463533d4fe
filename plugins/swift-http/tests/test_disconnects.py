"""Clients that hang up, and what a dying worker leaves: every endpoint answers afterwards, or says that it can't."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
from swift_http import Limits, Piece, Sampling, Token, bind, create_app, run
from swift_http.disconnects import DisconnectingClient
from swift_http.testing import HANG, KEY, FakeEngine, Served, chat, until
from swift_http.worker import Worker
from swift_testing.codes import coded

from swift_core.contract.errors import SwiftError


class Job:
    """A request of `Threaded`: words that come from the worker's thread."""

    def __init__(self, put: Any, fails: bool = False) -> None:
        self.put = put
        self.fails = fails
        self.left = 5
        self.gone = False

    def done(self, error: BaseException | None) -> None:
        self.put(error)


class Words(Worker[Job]):
    """A worker that says a word a step to each."""

    def __init__(self) -> None:
        super().__init__("words")
        self.jobs: list[Job] = []
        self.start()

    def _busy(self) -> bool:
        return bool(self.jobs)

    def _take(self, request: Job) -> None:
        self.jobs.append(request)

    def _unfinished(self) -> list[Job]:
        return self.jobs

    def _step(self) -> None:
        threading.Event().wait(0.001)
        for job in list(self.jobs):
            if job.fails:
                raise RuntimeError("the device is lost")
            job.left -= 1
            job.put(Piece("word ", (Token(1, "word "),), "length" if job.left == 0 else None))
            if job.gone or job.left == 0:
                self.jobs.remove(job)
                job.done(None)


class Threaded(FakeEngine):
    """An engine with a worker's thread, as the real ones are."""

    def __init__(self) -> None:
        super().__init__()
        self.worker = Words()

    @property
    def fault(self) -> BaseException | None:
        return self.worker.fault

    async def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str) -> AsyncIterator[Piece]:
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[Any]()
        job = Job(lambda item: loop.call_soon_threadsafe(pieces.put_nowait, item), "die" in self.decode(prompt))
        self.worker.submit(job)
        try:
            while (item := await pieces.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            job.gone = True

    async def embed(self, prompt: Sequence[int], *, model: str) -> list[float]:
        def work() -> list[float]:
            threading.Event().wait(0.002)
            return [1.0]

        return await asyncio.wrap_future(self.worker.run(work))

    async def load_adapter(self, name: str, folder: Path, **_: Any) -> None:
        await asyncio.wrap_future(self.worker.run(lambda: self.loaded.update({name: folder})))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "mine").mkdir()
    engine = Threaded()
    with Served(limits=Limits(max_requests=1000), engine=engine, adapter_folders=[tmp_path]) as made:
        yield made
    engine.worker.close()


REQUESTS: dict[str, Any] = {
    "/v1/chat/completions": chat(n=2),
    "/v1/chat/completions#stream": chat(stream=True),
    "/v1/completions": {"model": "base", "prompt": ["a", "b"], "echo": True, "logprobs": 1},
    "/v1/completions#stream": {"model": "base", "prompt": "a", "stream": True},
    "/v1/embeddings": {"model": "base", "input": ["a b c"] * 8},
    "/v1/responses": {"model": "base", "input": "hello"},
    "/v1/responses#stream": {"model": "base", "input": "hello", "stream": True},
    "/tokenize": {"prompt": "a" * 500},
    "/detokenize": {"tokens": [97] * 500},
    "/v1/load_lora_adapter": {"lora_name": "new", "lora_path": "mine"},
    "/v1/models": None,
    "/v1/models/base": None,
    "/health": None,
    "/metrics": None,
    "/openapi.json": None,
}


def test_every_endpoint_answers_after_clients_have_hung_up_at_every_moment(served: Served, caplog: pytest.LogCaptureFixture):
    paths = {path for path in served.server.config.app.openapi()["paths"] if "{" not in path}  # type: ignore[union-attr]
    assert paths - {"/v1/unload_lora_adapter"} <= set(REQUESTS), "an endpoint that is not tried here"
    client = DisconnectingClient(served.socket.getsockname(), REQUESTS, key=KEY)
    for _ in range(3):
        for _ in client.each():
            pass
    assert {path: client.status(path) for path in REQUESTS} == dict.fromkeys(REQUESTS, 200)
    until(lambda: "swift_requests_in_flight 0.0" in served.get("/metrics").text)
    until(lambda: len(served.server.server_state.connections) == 0)
    assert served.engine.worker.jobs == []  # type: ignore[attr-defined]
    assert 'status="500"' not in served.get("/metrics").text
    assert [record.message for record in caplog.records] == []
    assert served.get("/health").status_code == 200


def test_a_request_whose_client_is_gone_counts_as_cancelled(served: Served):
    client = DisconnectingClient(served.socket.getsockname(), REQUESTS, key=KEY)
    for _ in range(20):
        client.disconnect("/v1/embeddings", "after the body")
    until(lambda: 'endpoint="embeddings",model="base",status="cancelled"' in served.get("/metrics").text)


def test_a_worker_that_dies_is_reported_and_ends_the_server():
    engine = Threaded()
    ready, end = threading.Event(), []

    def serve() -> None:
        try:
            run(create_app(engine), bound, ready=lambda url: ready.set())
        except SwiftError as error:
            end.append(error)

    bound = bind("127.0.0.1", 0)
    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(HANG)
    assert DisconnectingClient(bound.getsockname(), {"/v1/chat/completions": chat("die")}).status("/v1/chat/completions") == 500
    thread.join(HANG)
    assert not thread.is_alive()
    assert "RuntimeError: the device is lost" in end[0].message


def test_health_says_that_the_worker_has_died(monkeypatch: pytest.MonkeyPatch):
    engine = Threaded()
    with Served(engine=engine) as served:
        monkeypatch.setattr(type(served.server), "on_tick", lambda *_: asyncio.sleep(0, result=False))  # it would end at once
        assert served.get("/health").status_code == 200
        assert served.ask("die").status_code == 500
        health = served.get("/health")
        assert health.status_code == 503
        assert "the device is lost" not in health.text  # everybody may ask this
        for path, body in (("/v1/chat/completions", chat()), ("/v1/embeddings", {"model": "base", "input": "a"})):
            assert served.post(path, body).status_code == 500  # and nobody hangs
        monkeypatch.undo()
        served.thread.join(HANG)


# -- the worker alone ----------------------------------------------------------------------------------------------------


def test_work_that_is_cancelled_harms_nobody():
    worker = Words()
    inside, go_on = threading.Event(), threading.Event()
    first = worker.run(lambda: (inside.set(), go_on.wait(HANG)))
    waits = worker.run(lambda: 1)
    assert inside.wait(HANG)
    assert not first.cancel()  # it has begun
    assert waits.cancel()
    go_on.set()
    assert worker.run(lambda: 2).result(HANG) == 2
    with pytest.raises(CancelledError):
        waits.result(HANG)
    with pytest.raises(ZeroDivisionError):
        worker.run(lambda: 1 // 0).result(HANG)
    assert worker.fault is None
    worker.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_after_its_end_a_worker_tells_everybody():
    worker = Words()
    worker.run(lambda: (_ for _ in ()).throw(SystemExit(3)))
    until(lambda: worker.fault is not None)
    with pytest.raises(SwiftError, check=coded("SERVE-020")):
        worker.run(lambda: 1).result(HANG)
    reported: list[Any] = []
    worker.submit(Job(reported.append))
    assert isinstance(reported[0], SwiftError)
    closed = Words()
    closed.close()
    with pytest.raises(SwiftError, check=coded("SERVE-019")):
        closed.run(lambda: 1).result(HANG)
    assert closed.fault is None


def test_a_request_whose_callback_fails_affects_no_other():
    def broken(item: Any) -> None:
        if item is None:
            raise RuntimeError("nobody listens")

    worker = Words()
    worker.submit(Job(broken))
    until(lambda: worker.fault is not None or not worker.jobs)
    worker.close()
