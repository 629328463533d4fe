"""Forward requests to the servers: repeated on another one until the first token of the answer has been sent, never after."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2
from starlette.responses import Response, StreamingResponse
from swift_http.errors import ApiError, error_body

from swift_gateway import tracing
from swift_gateway.asked import demand_of, usage_of
from swift_gateway.connection import while_connected
from swift_gateway.probe import headers_for

if TYPE_CHECKING:
    from starlette.requests import Request

    from swift_gateway.metrics import GatewayMetrics
    from swift_gateway.quotas import Client, Clients
    from swift_gateway.servers import Demand, Pool, Upstream

log = logging.getLogger("swift_gateway")
_PASSED_ON = ("content-type", "accept", "traceparent", "tracestate", "x-request-id")  # headers of a request
_RETURNED = ("content-type", "retry-after", "x-request-id")  # headers of an answer
_TRY_ANOTHER = (429, 500, 502, 503, 504)  # statuses of a server that is full, or in trouble
_TAIL = 4096  # last bytes of an answer, in which its usage is looked for


@dataclass(slots=True)
class Exchange:
    """A request on its way: who asked, what, and where it is now."""

    path: str
    body: bytes
    headers: dict[str, str]
    demand: Demand
    client: Client | None
    started: float = field(default_factory=time.monotonic)
    upstream: Upstream | None = None

    @property
    def client_name(self) -> str:
        """The name of the client for metrics."""
        return self.client.name if self.client else ""


class NoAnswer(Exception):
    """A server could not answer; `answer` is what it said, if it said anything."""

    def __init__(self, answer: Response | None = None) -> None:
        super().__init__()
        self.answer = answer


class Proxy:
    """Forwards requests.

    Args:
        pool: the servers.
        clients: the keys of clients.
        metrics: counts the requests.
        http: sends them.
    """

    def __init__(self, pool: Pool, clients: Clients, metrics: GatewayMetrics, http: httpx2.AsyncClient) -> None:
        self._pool, self._clients, self._metrics, self._http = pool, clients, metrics, http

    async def forward(self, request: Request) -> Response:
        """Answer a request by one of the servers.

        Raises:
            ApiError: the key, the body, a quota, the model or the queue forbids it, or no server could answer.
        """
        client = self._clients.of(request.headers.get("authorization", ""))
        body = await request.body()
        demand, streams = demand_of(body)
        try:
            if client:
                client.admit(demand.tokens)
        except ApiError as error:
            self._count(demand.model, client, error.status_code)
            raise
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        exchange = Exchange(request.url.path.removeprefix("/v1"), body, headers, demand, client)
        status = "cancelled"
        try:
            with tracing.span("swift.gateway", exchange.headers, {"gen_ai.request.model": demand.model}):
                answer = await while_connected(request, self._answer(exchange, streams=streams))
            status = str(answer.status_code)
            return answer
        except ApiError as error:
            status = str(error.status_code)
            raise
        finally:
            if exchange.upstream is None:
                self._finish(exchange, status, b"")

    async def _answer(self, exchange: Exchange, *, streams: bool) -> Response:
        """Send the request to one server after another until one answers; a stream has then its first bytes."""
        excluded: list[Upstream] = []
        last: Response | None = None
        while len(excluded) < self._pool.config.attempts:
            try:
                upstream = await self._pool.acquire(exchange.demand, excluded)
            except ApiError:
                if last is not None:
                    return last
                raise
            try:
                answer = await self._send(exchange, upstream, streams=streams)
            except NoAnswer as failure:
                self._pool.release(upstream, exchange.demand)
                self._metrics.retries.labels(upstream.url).inc()
                excluded.append(upstream)
                last = failure.answer
                continue
            except BaseException:
                self._pool.release(upstream, exchange.demand)
                raise
            if not isinstance(answer, StreamingResponse):
                self._pool.release(upstream, exchange.demand)
            return answer
        if last is not None:
            return last
        raise ApiError(
            502, f"{len(excluded)} servers failed to answer", kind="server_error", code="no_server", headers={"Retry-After": "5"}
        )

    async def _send(self, exchange: Exchange, upstream: Upstream, *, streams: bool) -> Response:
        """Send the request to one server. Raises NoAnswer if another one may be asked."""
        sent = self._http.build_request(
            "POST", f"{upstream.url}{exchange.path}", content=exchange.body, headers={**exchange.headers, **headers_for(upstream)}
        )
        try:
            received = await self._http.send(sent, stream=True)
            returned = {name: received.headers[name] for name in _RETURNED if name in received.headers}
            if not streams or received.status_code != 200:
                content = await received.aread()
                answer = Response(content, received.status_code, returned)
                if received.status_code in _TRY_ANOTHER:
                    raise NoAnswer(answer)
                if received.status_code == 200:
                    self._finish(exchange, "200", content)
                    exchange.upstream = upstream
                return answer
            pieces = received.aiter_raw()
            first = await anext(pieces, b"")
            if not first:
                await received.aclose()
                raise NoAnswer
        except httpx2.HTTPError as error:
            upstream.up = False  # until a probe reaches it
            log.warning("%s failed before the first token: %s", upstream.url, str(error) or type(error).__name__)
            raise NoAnswer from error
        self._metrics.first_token.labels(exchange.demand.model).observe(time.monotonic() - exchange.started)
        exchange.upstream = upstream
        return StreamingResponse(self._stream(exchange, received, pieces, first), 200, returned)

    async def _stream(
        self, exchange: Exchange, received: httpx2.Response, pieces: AsyncIterator[bytes], first: bytes
    ) -> AsyncIterator[bytes]:
        """Yield the bytes of a stream; if its server fails, an error event."""
        status, end, upstream = "cancelled", first, exchange.upstream
        assert upstream
        try:
            yield first
            async for piece in pieces:
                end = (end + piece)[-_TAIL:]
                yield piece
            status = "200"
        except httpx2.HTTPError as error:
            upstream.up, status = False, "502"
            log.warning("%s failed in the middle of an answer: %s", upstream.url, str(error) or type(error).__name__)
            event = error_body("the server failed in the middle of its answer", kind="server_error", code="server_failed")
            yield f"data: {json.dumps(event)}\n\n".encode()
        finally:  # the client may have gone: nothing is awaited before the server is given back
            self._pool.release(upstream, exchange.demand)
            self._finish(exchange, status, end)
            with suppress(httpx2.HTTPError):
                await received.aclose()

    def _finish(self, exchange: Exchange, status: str, end: bytes) -> None:
        """Count a request that has ended, and charge its client the tokens that it used."""
        model = self._count(exchange.demand.model, exchange.client, status)
        self._metrics.seconds.labels(model).observe(time.monotonic() - exchange.started)
        usage = usage_of(end[-_TAIL:])
        if usage:
            self._metrics.tokens.labels(model, exchange.client_name, "prompt").inc(usage.prompt)
            self._metrics.tokens.labels(model, exchange.client_name, "completion").inc(usage.completion)
        used = usage.prompt + usage.completion if usage else 0 if status != "200" else exchange.demand.tokens
        if exchange.client:
            exchange.client.correct(exchange.demand.tokens, used)

    def _count(self, model: str, client: Client | None, status: str | int) -> str:
        """Count a request; return the name of its model for metrics, empty for one that is not served: clients choose names freely."""
        known = model if model in self._pool.models else ""
        self._metrics.requests.labels(known, client.name if client else "", str(status)).inc()
        return known
