"""One request on its way through the engine: admitted, counted, cut at its stop strings, and ended when the client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar, cast

from starlette.requests import Request

from swift_http.engine import ChatEngine, Piece, Sampling
from swift_http.errors import ApiError
from swift_http.limits import Gate
from swift_http.metrics import Metrics
from swift_http.stops import StopFilter

T = TypeVar("T")


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


class Answer:
    """A request inside the server. `close` must be called once, however the request ends. `ended` gets the reason to stop early.

    Raises:
        ApiError: 429 where the server is full.
    """

    def __init__(self, request: Request, engine: ChatEngine, gate: Gate, metrics: Metrics, *, endpoint: str, model: str) -> None:
        gate.enter(self.end)
        self.model = model
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self._engine = engine
        self._gate = gate
        self._watch = metrics.begin(endpoint, model)
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Exception] = loop.create_future()
        self._clock = loop.call_later(gate.seconds, gate.too_long, self.end)
        self._listener = asyncio.ensure_future(self._listen(request))

    def end(self, reason: Exception) -> None:
        """Make the request stop where it is; whoever waits in it gets `reason`."""
        if not self.ended.done():
            self.ended.set_result(reason)

    def close(self, error: BaseException | None = None) -> None:
        """Leave the queue and count what was done; `error` is why it ended early."""
        self._listener.cancel()
        self._clock.cancel()
        self._gate.leave(self.end)
        self._watch.end(_status(error), prompt=self.prompt_tokens, completion=self.completion_tokens)

    async def wait(self, work: Awaitable[T]) -> T:
        """The result of `work`.

        Raises:
            ClientGone: the client closed the connection; the work was cancelled.
            ApiError: 503, the server is stopping; the work was cancelled.
        """
        task = asyncio.ensure_future(work)
        try:
            either: set[asyncio.Future[Any]] = {task, self.ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise self.ended.result()
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})  # an iterator can't be closed while it still runs

    async def pieces(self, prompt: Sequence[int], sampling: Sampling, stops: Sequence[str]) -> AsyncGenerator[Piece]:
        """The engine's pieces up to the first stop string; the last one has `finish`."""
        visible = StopFilter(stops)
        written = 0
        source = cast("AsyncGenerator[Piece]", self._engine.generate(prompt, sampling, model=self.model))
        async with aclosing(source):
            async for piece in source:
                self._watch.token()
                self.completion_tokens += len(piece.tokens)
                written += len(piece.tokens)
                if written <= sampling.min_tokens and not piece.finish:  # too early to stop
                    yield piece
                    continue
                text = visible.push(piece.text)
                if visible.hit:
                    yield Piece(text, piece.tokens, "stop")
                    return
                if piece.finish:
                    text += visible.flush()
                yield Piece(text, piece.tokens, piece.finish)

    async def _listen(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.end(ClientGone())


def _status(error: BaseException | None) -> str:
    if error is None:
        return "200"
    if not isinstance(error, Exception) or isinstance(error, ClientGone):
        return "cancelled"
    return str(error.status_code) if isinstance(error, ApiError) else "500"
