"""Lifecycle of one request: admission, metrics, stop strings, and cancellation on timeout or when the client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar, cast

from starlette.requests import Request

from swift_http.engine import ChatEngine, Piece, Sampling
from swift_http.errors import ApiError
from swift_http.head_engine import HeadEngine
from swift_http.limits import AdmissionControl
from swift_http.metrics import Metrics
from swift_http.stop_strings import StopFilter

T = TypeVar("T")


class ClientDisconnected(Exception):
    """The client closed the connection before the response was complete."""


class ActiveRequest:
    """A request that was admitted. Call `close` exactly once, however the request ends.

    Attributes:
        aborted: resolves to the reason when the request has to stop early.
        prompt_tokens: tokens of the prompts, set by the handler.
        completion_tokens: tokens generated so far.

    Raises:
        ApiError: 429, the server is full.
    """

    def __init__(
        self,
        request: Request,
        engine: ChatEngine | HeadEngine,
        admission: AdmissionControl,
        metrics: Metrics,
        *,
        endpoint: str,
        model: str,
    ) -> None:
        admission.admit(self.abort)
        self.model = model
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self._engine = engine
        self._admission = admission
        self._metrics = metrics.begin(endpoint, model)
        loop = asyncio.get_running_loop()
        self.aborted: asyncio.Future[Exception] = loop.create_future()
        self._timer = loop.call_later(admission.timeout, admission.expire, self.abort)
        self._listener = asyncio.ensure_future(self._watch_for_disconnect(request))

    def abort(self, reason: Exception) -> None:
        """Stop the request early; pending `wait` calls raise `reason`."""
        if not self.aborted.done():
            self.aborted.set_result(reason)

    def close(self, error: BaseException | None = None) -> None:
        """Release the admission slot and record metrics; `error` is the reason for an early end."""
        self._listener.cancel()
        self._timer.cancel()
        self._admission.release(self.abort)
        self._metrics.end(_status(error), prompt=self.prompt_tokens, completion=self.completion_tokens)

    async def wait(self, work: Awaitable[T]) -> T:
        """Return the result of `work`, or cancel it when the request is aborted.

        Raises:
            ClientDisconnected: the client closed the connection.
            ApiError: 503, the server is stopping; 504, the request timed out.
        """
        task = asyncio.ensure_future(work)
        try:
            either: set[asyncio.Future[Any]] = {task, self.aborted}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise self.aborted.result()
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})  # an async iterator can't be closed while it still runs

    async def pieces(self, prompt: Sequence[int], sampling: Sampling, stops: Sequence[str]) -> AsyncGenerator[Piece]:
        """Yield the engine's pieces up to the first stop string; the last piece has `finish`."""
        visible = StopFilter(stops)
        generated = 0
        engine = cast("ChatEngine", self._engine)
        source = cast("AsyncGenerator[Piece]", engine.generate(prompt, sampling, model=self.model))
        async with aclosing(source):
            async for piece in source:
                self._metrics.token()
                self.completion_tokens += len(piece.tokens)
                generated += len(piece.tokens)
                if generated <= sampling.min_tokens and not piece.finish:  # stop strings don't apply yet
                    yield piece
                    continue
                text = visible.push(piece.text)
                if visible.hit:
                    yield Piece(text, piece.tokens, "stop")
                    return
                if piece.finish:
                    text += visible.flush()
                yield Piece(text, piece.tokens, piece.finish)

    async def _watch_for_disconnect(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.abort(ClientDisconnected())


def _status(error: BaseException | None) -> str:
    if error is None:
        return "200"
    if not isinstance(error, Exception) or isinstance(error, ClientDisconnected):
        return "cancelled"
    return str(error.status_code) if isinstance(error, ApiError) else "500"
