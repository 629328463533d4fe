"""Test helpers: a fake engine with a fixed completion, and the app over it on a real port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import openai

from swift_core.contract import SwiftError, UsageError
from swift_http.app import create_app
from swift_http.engine import OPTIONAL_FIELDS, Piece, Sampling, Token
from swift_http.limits import Limits
from swift_http.server import Server, bind, url_of

HANG = 300.0  # seconds after which a test that would never end is stopped; no test depends on the machine's speed
KEY = "sk-very-secret"
WORDS = ("The ", "capital ", "is ", "Paris", ".")


class FakeEngine:
    """Generates WORDS, one per token; phrases in the prompt trigger other behaviour (failures, waiting, an endless completion)."""

    models = ("base", "poet")
    supports = frozenset(OPTIONAL_FIELDS)
    context = 100

    def __init__(self) -> None:
        self.seen: list[Sampling] = []
        self.rendered: list[tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]] = []
        self.adapters: list[str] = []
        self.cancelled = threading.Event()
        self.go_on = threading.Event()
        self.running = 0
        self.loaded: dict[str, Path] = {}

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Return role and content of each turn, one token per letter."""
        if any(turn["role"] == "tool" for turn in messages) and not tools:
            raise UsageError("this template has no tools", code="SERVE-016")
        self.rendered.append((messages, tools))
        self.variables = variables
        return self.encode("".join(f"{turn['role']}:{turn['content']}" for turn in messages)) + ([0] if generation_prompt else [])

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Return one token per letter."""
        return [ord(letter) for letter in text]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the letters."""
        if wrong := [token for token in tokens if not 0 <= token < 0x110000]:
            raise UsageError(f"there is no token {wrong[0]}", code="SERVE-017")
        return "".join(chr(token) for token in tokens)

    async def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str) -> AsyncIterator[Piece]:
        """Generate WORDS, or what the prompt triggers."""
        self.seen.append(sampling)
        self.adapters.append(model)
        text = self.decode(prompt)
        if "fail early" in text:
            raise SwiftError("out of memory", code="SERVE-018", hint="Use a smaller model.")
        if "crash" in text:
            raise RuntimeError("a private detail")
        self.running += 1
        try:
            if "wait" in text:
                while not self.go_on.is_set():
                    await asyncio.sleep(0.005)
            limit = sampling.max_tokens or len(WORDS)
            for number, word in enumerate(WORDS[:limit]):
                top = ((word, -0.5), ("other", -1.5))[: sampling.logprobs or 0]
                token = Token(number, word, None if sampling.logprobs is None else -0.5, top)
                last = number + 1 == min(limit, len(WORDS))
                yield Piece(word, (token,), ("length" if limit < len(WORDS) else "stop") if last else None)
                if "fail late" in text:
                    raise SwiftError("out of memory", code="SERVE-018")
                while "forever" in text:
                    yield Piece("x", (Token(9, "x"),))
                    await asyncio.sleep(0.005)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise
        finally:
            self.running -= 1

    async def embed(self, prompt: Sequence[int], *, model: str) -> list[float]:
        """Return [0.5, length of the prompt]."""
        return [0.5, float(len(prompt))]

    async def load_adapter(self, name: str, folder: Path, *, allow_other_base: bool = False) -> None:
        """Record the adapter."""
        self.loaded[name] = folder

    async def unload_adapter(self, name: str) -> None:
        """Remove the adapter."""
        del self.loaded[name]

    async def score(self, prompt: Sequence[int], *, model: str, top: int) -> list[Token]:
        """Return decreasing log-probabilities."""
        return [
            Token(token, chr(token), None if number == 0 else -float(number), ((chr(token), -0.1),) if number else ())
            for number, token in enumerate(prompt)
        ]


class Served:
    """The app on its own port."""

    def __init__(self, api_key: str | None = KEY, limits: Limits | None = None, engine: FakeEngine | None = None, **more: Any) -> None:
        self.engine = engine or FakeEngine()
        self.socket = bind("127.0.0.1", 0)
        self.url = url_of(self.socket)
        self.server = Server(create_app(self.engine, api_key=api_key, limits=limits, **more), lambda: None, grace=0.2)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})

    def __enter__(self) -> Served:
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server and wait for its end."""
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()

    @property
    def openai(self) -> openai.OpenAI:
        """An `openai` client with the API key."""
        return openai.OpenAI(base_url=self.url, api_key=KEY, max_retries=0)

    def post(self, path: str, body: Any = None, *, key: str = KEY, **more: Any) -> httpx2.Response:
        """Send a POST request."""
        url = self.url.removesuffix("/v1") + path
        content = {"json": body} if body is not None else {}
        headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})}
        return httpx2.post(url, headers=headers, **content, **{"timeout": HANG, **more})

    def get(self, path: str, key: str = KEY) -> httpx2.Response:
        """Send a GET request."""
        return httpx2.get(self.url.removesuffix("/v1") + path, headers={"Authorization": f"Bearer {key}"}, timeout=HANG)

    def ask(self, text: str = "hello", **more: Any) -> httpx2.Response:
        """Send one chat message."""
        return self.post("/v1/chat/completions", chat(text, **more))


def chat(text: str = "hello", **more: Any) -> dict[str, Any]:
    """Return the body of a chat request."""
    return {"model": "base", "messages": [{"role": "user", "content": text}], **more}


def until(condition: Any, seconds: float = HANG) -> None:
    """Wait until a condition holds; fail after `seconds`."""
    event = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        event.wait(0.01)
    raise AssertionError("the condition did not become true")
