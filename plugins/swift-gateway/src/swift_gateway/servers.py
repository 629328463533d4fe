"""The servers behind a gateway, and the choice of one for a request."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from swift_http.errors import ApiError, unknown_model

from swift_gateway.config import GatewayConfig, ServerAddress
from swift_gateway.prefixes import PrefixTable


@dataclass(slots=True, eq=False)
class Upstream:
    """A server behind the gateway, and what it is doing.

    Attributes:
        address: where it is.
        models: the models and adapters that it lists; empty until a probe has succeeded.
        up: whether the last probe or request reached it.
        draining: it finishes its requests and gets no more.
        running: requests that it is working on.
        outstanding: estimated tokens of these requests.
        kv_usage: share of its key-value cache that is in use, from 0 to 1; None if it does not report it.
    """

    address: ServerAddress
    models: tuple[str, ...] = ()
    up: bool = False
    draining: bool = False
    running: int = 0
    outstanding: int = 0
    kv_usage: float | None = None

    @property
    def url(self) -> str:
        """Its base URL."""
        return self.address.url


@dataclass(frozen=True, slots=True)
class Demand:
    """The requirements of a request on a server.

    Attributes:
        model: the model or adapter.
        prompt: the text of the prompt, or its beginning.
        tokens: estimated tokens of prompt and completion.
    """

    model: str
    prompt: str
    tokens: int


@dataclass(slots=True)
class Pool:
    """The servers, and the queue of requests that wait for one.

    Args:
        config: limits of the gateway.
    """

    config: GatewayConfig
    upstreams: list[Upstream] = field(default_factory=list)
    queued: int = 0
    prefixes: PrefixTable = field(default_factory=PrefixTable)
    _change: asyncio.Event = field(default_factory=asyncio.Event)

    def configure(self, config: GatewayConfig) -> None:
        """Take a new configuration: add its servers, and drain those that it no longer has."""
        self.config = config
        known = {upstream.address: upstream for upstream in self.upstreams}
        for address in config.servers:
            known.setdefault(address, Upstream(address)).draining = False
        for address, upstream in known.items():
            upstream.draining = upstream.draining or address not in config.servers
        self.upstreams = [upstream for upstream in known.values() if not upstream.draining or upstream.running]

    @property
    def models(self) -> list[str]:
        """The models of the servers that take requests, each once."""
        return sorted({model for upstream in self._open() for model in upstream.models})

    async def acquire(self, demand: Demand, excluded: Collection[Upstream] = ()) -> Upstream:
        """Wait for a free server of the model and occupy it; `release` gives it back.

        Args:
            demand: what the request asks.
            excluded: servers that failed it already.

        Raises:
            ApiError: 404, no server has the model; 429, the queue is full; 503, none is reachable, or the request waited too long.
        """
        upstream = self._choose(demand, excluded)
        if upstream is None:
            if self.queued >= self.config.max_queue:
                message = f"the gateway is busy: {self.queued} requests are waiting; try again later"
                raise ApiError(429, message, kind="rate_limit_error", code="server_busy", headers={"Retry-After": "1"})
            upstream = await self._wait(demand, excluded)
        upstream.running += 1
        upstream.outstanding += demand.tokens
        self.prefixes.add(demand.model, demand.prompt, upstream.url)
        return upstream

    def release(self, upstream: Upstream, demand: Demand) -> None:
        """Give a server back."""
        upstream.running -= 1
        upstream.outstanding -= demand.tokens
        self.changed()

    def changed(self) -> None:
        """Wake the requests that wait, in the order in which they came: a server is free, up or gone."""
        self._change.set()
        self._change = asyncio.Event()

    async def _wait(self, demand: Demand, excluded: Collection[Upstream]) -> Upstream:
        self.queued += 1
        try:
            async with asyncio.timeout(self.config.queue_timeout):
                while (found := self._choose(demand, excluded)) is None:
                    await self._change.wait()
                return found
        except TimeoutError:
            message = f"no server was free within {self.config.queue_timeout:g} seconds"
            raise ApiError(503, message, kind="server_error", code="queue_timeout", headers={"Retry-After": "5"}) from None
        finally:
            self.queued -= 1

    def _open(self) -> list[Upstream]:
        return [upstream for upstream in self.upstreams if upstream.up and not upstream.draining]

    def _choose(self, demand: Demand, excluded: Collection[Upstream]) -> Upstream | None:
        """Return the server with the fewest outstanding tokens, less those of a prefix that it has seen.

        None if all are busy, or down: a server that has had the model is waited for, since it may be restarting.
        """
        reachable = [upstream for upstream in self._open() if upstream not in excluded]
        down = [upstream for upstream in self.upstreams if not upstream.up and not upstream.draining and upstream not in excluded]
        if any(demand.model in upstream.models for upstream in down) and not any(demand.model in each.models for each in reachable):
            return None
        if not reachable:
            message = "no server is reachable" if not excluded else "every server failed"
            raise ApiError(503, message, kind="server_error", code="no_server", headers={"Retry-After": "5"})
        having = [upstream for upstream in reachable if demand.model in upstream.models]
        if not having:
            if excluded and demand.model in self.models:
                raise ApiError(
                    503, "every server of this model failed", kind="server_error", code="no_server", headers={"Retry-After": "5"}
                )
            raise unknown_model(demand.model, self.models)
        free = [upstream for upstream in having if upstream.running < self.config.max_running]
        seen = self.prefixes.tokens_by_server(demand.model, demand.prompt)
        return min(free, key=lambda upstream: upstream.outstanding - seen.get(upstream.url, 0), default=None)
