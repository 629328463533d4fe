"""The application: routes over a ChatEngine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import Response

from swift_http import documents, errors
from swift_http.adapters import add_adapter_routes
from swift_http.answer import Answer
from swift_http.asks import Ask, check_supported, respond
from swift_http.chats import add_chat_routes
from swift_http.cors import allow
from swift_http.embeddings import add_embedding_route
from swift_http.engine import ChatEngine, Embeds, TakesAdapters
from swift_http.errors import ApiError, unknown_model
from swift_http.facts import add_fact_routes
from swift_http.guard import OPEN_PATHS, Guard
from swift_http.limits import Gate, Limits
from swift_http.metrics import Metrics
from swift_http.requests import CompletionRequest
from swift_http.responses import CompletionForm
from swift_http.streams import finished
from swift_http.tools import PARSERS


def create_app(
    engine: ChatEngine,
    *,
    api_key: str | None = None,
    limits: Limits | None = None,
    tool_parser: str = "",
    adapter_folders: Sequence[Path] = (),
    origins: Sequence[str] = (),
) -> FastAPI:
    """An OpenAI-compatible app over `engine`; it serves the names in `engine.models`.

    Args:
        engine: what answers; where it `Embeds`, there is /v1/embeddings too.
        api_key: required as `Authorization: Bearer …` everywhere but at /health; None: open to whoever reaches the port.
        limits: bounds on the queue, on time and on request bodies.
        tool_parser: how the model writes the calls of its tools, a name of `PARSERS`; with any other they stay text.
        adapter_folders: where adapters may lie that requests load, for an engine that `TakesAdapters`; none: requests can't load any.
        origins: web pages that may read answers, as `https://host:port`; `*`: all. None without it.

    Raises:
        UsageError: something else than an origin among these.
    """
    limits = limits or Limits()
    app = FastAPI(
        title="swift-core",
        summary="An OpenAI-compatible server",
        docs_url=None,
        redoc_url=None,
        responses=documents.ERRORS,
    )
    errors.install(app)
    app.add_middleware(Guard, api_key=api_key, max_body=limits.body, slow=limits.slow)
    if origins:
        allow(app, origins)  # outside the guard: browsers send no key when they ask whether they may
    gate, metrics = Gate(limits), Metrics()
    app.state.gate, app.state.engine = gate, engine

    def admit(request: Request, endpoint: str, model: str) -> Answer:
        try:
            if model not in engine.models:
                raise unknown_model(model, engine.models)
            return Answer(request, engine, gate, metrics, endpoint=endpoint, model=model)
        except ApiError as error:
            metrics.refused(endpoint, error.status_code)
            raise

    async def ids(item: str | list[int]) -> list[int]:
        return await asyncio.to_thread(engine.encode, item) if isinstance(item, str) else item

    add_chat_routes(app, engine, admit, PARSERS.get(tool_parser), most=limits.answers)

    @app.post("/v1/completions", responses=documents.COMPLETION)
    async def completions(body: CompletionRequest, request: Request) -> Response:
        async def ask() -> Ask:
            prompts = [await ids(item) for item in body.prompts()]
            wishes = body.wishes()
            check_supported(engine, wishes, {})
            given = [prompt for prompt in prompts for _ in range(body.n or 1)] if body.return_token_ids else None
            form = CompletionForm(body.model, logprobs=body.logprobs is not None, prompts=given)
            return Ask(prompts, wishes, body.stops, form, bool(body.stream), body.include_usage, bool(body.echo), body.n or 1, "prompt")

        answer = admit(request, "completions", body.model)
        return await finished(answer, respond(answer, engine, ask, most=limits.answers))

    if isinstance(engine, Embeds):
        add_embedding_route(app, engine, admit, ids)

    if isinstance(engine, TakesAdapters) and adapter_folders:
        add_adapter_routes(app, engine, adapter_folders)

    add_fact_routes(app, engine, metrics)
    if api_key:
        documents.require_key(app, OPEN_PATHS)
    return app
