"""FastAPI application: the OpenAI-compatible routes over a `ChatEngine`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import Response

from swift_http import openapi
from swift_http.adapter_routes import add_adapter_routes, add_weight_routes
from swift_http.audio_routes import add_audio_routes
from swift_http.chat_routes import add_chat_routes
from swift_http.embedding_routes import add_embedding_routes
from swift_http.engine import ChatEngine, SupportsEmbeddings, SupportsRuntimeAdapters, SupportsRuntimeWeights, Transcribes
from swift_http.frame import make_frame
from swift_http.generation import GenerationRequest, check_supported, respond
from swift_http.guard import PUBLIC_PATHS
from swift_http.info_routes import add_info_routes
from swift_http.limits import Limits
from swift_http.requests import CompletionRequest
from swift_http.response_builders import CompletionBuilder
from swift_http.streams import close_when_done
from swift_http.tools import PARSERS


def create_app(
    engine: ChatEngine,
    *,
    api_key: str | None = None,
    limits: Limits | None = None,
    tool_parser: str = "",
    adapter_folders: Sequence[Path] = (),
    weight_folders: Sequence[Path] = (),
    origins: Sequence[str] = (),
) -> FastAPI:
    """Create an OpenAI-compatible app over `engine`, which serves the names in `engine.models`.

    Args:
        engine: the model; if it is `SupportsEmbeddings`, the app has /v1/embeddings; if it transcribes, /v1/audio/….
        api_key: key required as `Authorization: Bearer …` on every path except /health; None disables authentication.
        limits: limits on concurrency, duration and request bodies.
        tool_parser: format of the model's tool calls, a name in `PARSERS`; with any other value tool calls stay text.
        adapter_folders: folders below which requests may load adapters, if the engine is `SupportsRuntimeAdapters`; empty: no such routes.
        weight_folders: folders below which requests may load other weights, if the engine is `SupportsRuntimeWeights`.
        origins: origins of web pages that may read responses (CORS), such as `https://host:port`; `*` allows all.

    Raises:
        UsageError: an entry of `origins` is not an origin.
    """
    limits = limits or Limits()
    app, admit, metrics = make_frame(engine, api_key=api_key, limits=limits, origins=origins)

    async def encode(item: str | list[int]) -> list[int]:
        return await asyncio.to_thread(engine.encode, item) if isinstance(item, str) else item

    add_chat_routes(app, engine, admit, PARSERS.get(tool_parser), limits=limits)

    @app.post("/v1/completions", responses=openapi.COMPLETION)
    async def completions(body: CompletionRequest, request: Request) -> Response:
        async def prepare() -> GenerationRequest:
            prompts = [await encode(item) for item in body.prompts()]
            sampling = body.sampling()
            check_supported(engine, sampling, {})
            n = body.n or 1
            shown = [prompt for prompt in prompts for _ in range(n)] if body.return_token_ids else None
            builder = CompletionBuilder(body.model, logprobs=body.logprobs is not None, prompts=shown)
            return GenerationRequest(
                prompts, sampling, body.stops, builder, bool(body.stream), body.include_usage, bool(body.echo), n, "prompt"
            )

        active = admit(request, "completions", body.model)
        return await close_when_done(active, respond(active, engine, prepare, limits=limits))

    if isinstance(engine, Transcribes) and engine.transcribes:
        add_audio_routes(app, engine, admit)

    if isinstance(engine, SupportsEmbeddings):
        add_embedding_routes(app, engine, admit, encode)

    if isinstance(engine, SupportsRuntimeAdapters) and adapter_folders:
        add_adapter_routes(app, engine, adapter_folders)
    if isinstance(engine, SupportsRuntimeWeights) and weight_folders:
        add_weight_routes(app, engine, weight_folders)

    add_info_routes(app, engine, metrics)
    if api_key:
        openapi.require_key(app, PUBLIC_PATHS)
    return app
