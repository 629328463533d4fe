"""Many requests, with clients that leave and requests that fail: afterwards the server is as it was."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
import pytest
from swift_http import Limits, create_app
from swift_http.disconnects import POINTS, DisconnectingClient
from swift_http.server import Server, bind, url_of
from swift_plugin_transformers.active_sequence import ActiveSequence
from swift_plugin_transformers.batching import Batcher
from swift_plugin_transformers.engine import EmbeddedEngine
from swift_plugin_transformers.generation import Request
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load

SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["a", "b"]}}}
CLIENTS = 12
REQUESTS: dict[str, object] = {
    "/v1/chat/completions": {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20},
    "/v1/completions#stream": {"model": "m", "prompt": ["a", "b"], "max_tokens": 20, "stream": True},
    "/v1/embeddings": {"model": "m", "input": ["a b c " * 20] * 4},
    "/tokenize": {"prompt": "a b c"},
    "/v1/models": None,
}


class Storm:
    """Clients of every kind against one server."""

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._http = httpx2.Client(timeout=300, trust_env=False, limits=httpx2.Limits(max_connections=CLIENTS))
        self._chance = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self._client = DisconnectingClient((httpx2.URL(url).host, httpx2.URL(url).port or 80), REQUESTS, seed=seed)
        self._kinds: list[Callable[[], str]] = [
            self.hangs_up,
            self.whole,
            self.stream,
            self.leaves,
            self.impatient,
            self.wrong,
            self.broken,
            self.scored,
        ]

    def one(self, _: int) -> None:
        kind = self._chance.choice(self._kinds)
        while (end := kind()) == "429":  # it asks again, a little later
            self.seen[f"{kind.__name__} {end}"] += 1
            time.sleep(0.05)
        self.seen[f"{kind.__name__} {end}"] += 1

    def body(self, **more: object) -> dict[str, object]:
        text = "word " * self._chance.randint(1, 40)
        return {"model": "m", "prompt": text, "max_tokens": self._chance.randint(1, 12), "temperature": 1.0, **more}

    def post(self, body: object) -> str:
        return str(self._http.post(f"{self._url}/completions", json=body).status_code)

    def whole(self) -> str:
        return self.post(self.body(n=self._chance.randint(1, 3)))

    def scored(self) -> str:
        return self.post(self.body(echo=True, logprobs=2, **({"response_format": SCHEMA} if self._chance.random() < 0.3 else {})))

    def stream(self) -> str:
        with self._http.stream("POST", f"{self._url}/completions", json=self.body(stream=True)) as response:
            text = response.read().decode()
        return "done" if text.endswith("[DONE]\n\n") else str(response.status_code)

    def leaves(self) -> str:
        with self._http.stream("POST", f"{self._url}/completions", json=self.body(stream=True, max_tokens=400)) as response:
            next(response.iter_lines())
        return "left"

    def impatient(self) -> str:
        with suppress(httpx2.TimeoutException):
            self._http.post(f"{self._url}/completions", json=self.body(max_tokens=400, n=2), timeout=self._chance.uniform(0.001, 0.1))
        return "left"

    def hangs_up(self) -> str:
        self._client.disconnect(self._chance.choice(list(REQUESTS)), self._chance.choice(POINTS))
        return "left"

    def wrong(self) -> str:
        wishes = ({"model": "none"}, {"prompt": [10**6]}, {"prompt": "x " * 3000}, {"temperature": "hot"}, {"max_tokens": 10**6}, {"n": 0})
        return self.post(self.body(**self._chance.choice(wishes)))

    def broken(self) -> str:
        text = json.dumps(self.body())[: self._chance.randint(0, 30)]
        return str(self._http.post(f"{self._url}/completions", content=text, headers={"Content-Type": "application/json"}).status_code)

    def run(self, count: int) -> None:
        with ThreadPoolExecutor(CLIENTS) as clients:
            for _ in clients.map(self.one, range(count)):
                pass
        self._http.close()


def settled(engine: EmbeddedEngine, server: Server) -> tuple[int, int, int, int]:
    """What is left once all is quiet: tasks, threads of the server's, requests, open connections."""
    assert isinstance(engine.worker, Batcher)
    loop = server.servers[0].get_loop()
    end = time.monotonic() + 300
    while time.monotonic() < end and (
        engine.worker.prefix_cache.in_use or server.server_state.connections or len(asyncio.all_tasks(loop)) > 4
    ):
        time.sleep(0.1)
    gc.collect()
    left = sum(type(thing) in (Request, ActiveSequence) for thing in gc.get_objects())
    return len(asyncio.all_tasks(loop)), engine.worker.prefix_cache.in_use, left, len(server.server_state.connections)


def soak(checkpoint: Path, count: int, growth: int) -> None:
    others = set(threading.enumerate())  # of servers that other tests have left
    engine = load(checkpoint, {}, "m", ServeOptions(device="cpu", dtype="float32", memory="16MB", batch=8))
    socket = bind("127.0.0.1", 0)
    server = Server(create_app(engine, limits=Limits(max_requests=CLIENTS // 2)), lambda: None, grace=0.5)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    process = psutil.Process()
    try:
        Storm(url_of(socket), 0).run(100)  # whatever is made once is made now
        before, threads, files = settled(engine, server), threading.active_count(), process.num_fds()
        children = set(process.children())
        memory = process.memory_info().rss
        storm = Storm(url_of(socket), 1)
        storm.run(count)
        assert settled(engine, server) == before
        assert before[1:] == (0, 0, 0)
        answered = sum(count for kind, count in storm.seen.items() if kind.split()[-1] in ("200", "done"))
        assert answered > count / 4, storm.seen  # a storm of refusals would prove little
        assert threading.active_count() <= threads + 40  # the loop's own pool of threads, which is bounded
        assert process.num_fds() <= files + 2
        assert set(process.children()) <= children
        assert (process.memory_info().rss - memory) < growth * 2**20
        assert httpx2.get(url_of(socket).removesuffix("/v1") + "/health", timeout=300).status_code == 200
        text = httpx2.get(url_of(socket).removesuffix("/v1") + "/metrics", timeout=300).text
        assert "swift_requests_in_flight 0.0" in text
        assert not [kind for kind in storm.seen if kind.split()[-1].startswith("5")], storm.seen
        assert {kind.split()[-1] for kind in storm.seen} >= {"200", "400", "404", "429", "done", "left"}, storm.seen
    finally:
        server.should_exit = True
        thread.join()
        engine.close()
        socket.close()
    assert not [other for other in threading.enumerate() if other.name == "generate" and other not in others]


@pytest.mark.slow
def test_three_hundred_requests_leave_nothing(tiny_model: Path):
    soak(tiny_model, 300, growth=100)


@pytest.mark.full("serve")
def test_ten_thousand_requests_leave_nothing(tiny_model: Path):
    soak(tiny_model, 10_000, growth=150)
