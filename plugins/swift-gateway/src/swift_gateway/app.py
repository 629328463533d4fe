"""The HTTP application of a gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from swift_http import errors
from swift_http.cors import allow_origins
from swift_http.errors import ApiError
from swift_http.guard import Guard

from swift_gateway.config import GatewayConfig
from swift_gateway.metrics import GatewayMetrics
from swift_gateway.probe import probe_forever
from swift_gateway.proxy import Proxy
from swift_gateway.quotas import Clients
from swift_gateway.servers import Pool, Upstream

FORWARDED = (
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/rerank", "/v1/score", "/v1/classify",
)  # fmt: skip
MAX_BODY_BYTES = 64 * 1024 * 1024
_BODY_TIMEOUT = 60.0
_CONNECT_TIMEOUT = 5.0


def create_app(
    config: GatewayConfig, *, api_key: str = "", origins: Sequence[str] = (), read: Callable[[], GatewayConfig | None] = lambda: None
) -> FastAPI:
    """Create the application of a gateway.

    Args:
        config: servers, limits and keys.
        api_key: the gateway's own key; empty: none is needed, unless `config.keys` has some.
        origins: origins of web pages that may read answers (CORS).
        read: returns the configuration when it has changed; called between probes.

    Raises:
        UsageError: an origin is none, or the environment variable of a key is not set.
    """
    pool, clients = Pool(config), Clients(config.keys, api_key)
    pool.configure(config)
    metrics = GatewayMetrics(pool)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        timeout = httpx2.Timeout(None, connect=_CONNECT_TIMEOUT)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=256)
        async with httpx2.AsyncClient(timeout=timeout, limits=limits, trust_env=False) as http:
            app.state.proxy = Proxy(pool, clients, metrics, http)
            probing = asyncio.create_task(probe_forever(http, pool, read))
            yield
            probing.cancel()
            with suppress(asyncio.CancelledError):
                await probing

    app = FastAPI(title="swift gateway", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    errors.install(app)
    # with keys of clients any host name is fine; without any key, only names of this machine and network (DNS rebinding)
    app.add_middleware(Guard, api_key=None, max_body_bytes=MAX_BODY_BYTES, body_timeout=_BODY_TIMEOUT, any_host=clients.required)
    if origins:
        allow_origins(app, origins)
    app.state.pool = pool

    async def forward(request: Request) -> Response:
        proxy: Proxy = app.state.proxy
        return await proxy.forward(request)

    for path in FORWARDED:
        app.add_route(path, forward, methods=["POST"])
    _add_info_routes(app, pool, clients, metrics)
    return app


def _add_info_routes(app: FastAPI, pool: Pool, clients: Clients, metrics: GatewayMetrics) -> None:
    async def health(request: Request) -> Response:
        open_servers = [upstream for upstream in pool.upstreams if upstream.up and not upstream.draining]
        return JSONResponse({"status": "ok" if open_servers else "no server"}, 200 if open_servers else 503)

    async def models(request: Request) -> Response:
        clients.of(request.headers.get("authorization", ""))
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model", "owned_by": "swift"} for name in pool.models]})

    async def scrape(request: Request) -> Response:
        clients.check_own(request.headers.get("authorization", ""))
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")

    async def servers(request: Request) -> Response:
        clients.check_own(request.headers.get("authorization", ""))
        return JSONResponse({"servers": [_described(upstream) for upstream in pool.upstreams], "queued": pool.queued})

    async def drain(request: Request) -> Response:
        clients.check_own(request.headers.get("authorization", ""))
        upstream, draining = _chosen(await request.body(), pool)
        upstream.draining = draining
        pool.changed()
        return JSONResponse(_described(upstream))

    app.add_route("/health", health)
    app.add_route("/v1/models", models)
    app.add_route("/metrics", scrape)
    app.add_route("/gateway/servers", servers)
    app.add_route("/gateway/drain", drain, methods=["POST"])


def _chosen(body: bytes, pool: Pool) -> tuple[Upstream, bool]:
    """Return the server that a request to drain names, and whether to drain it or to use it again."""
    try:
        asked: Any = json.loads(body)
        url, draining = str(asked["url"]).rstrip("/"), asked.get("draining", True)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ApiError(400, 'the body must be {"url": "http://HOST:PORT/v1", "draining": true}') from None
    found = next((upstream for upstream in pool.upstreams if upstream.url == url), None)
    if found is None or not isinstance(draining, bool):
        known = ", ".join(upstream.url for upstream in pool.upstreams)
        raise ApiError(404, f"there is no server {url[:200]}; servers: {known}", param="url")
    return found, draining


def _described(upstream: Upstream) -> dict[str, Any]:
    return {
        "url": upstream.url,
        "models": upstream.models,
        "up": upstream.up,
        "draining": upstream.draining,
        "running": upstream.running,
        "outstanding_tokens": upstream.outstanding,
        "kv_usage": upstream.kv_usage,
    }
