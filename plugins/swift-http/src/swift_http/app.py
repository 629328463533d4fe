"""The application: routes over a ChatEngine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from swift_http import documents, errors, responses
from swift_http.adapters import add_adapter_routes
from swift_http.answer import Answer
from swift_http.asks import Ask, check_fits, respond
from swift_http.engine import ChatEngine, Embeds, Sampling, TakesAdapters
from swift_http.errors import ApiError, unknown_model
from swift_http.facts import add_fact_routes
from swift_http.guard import OPEN_PATHS, Guard
from swift_http.limits import Gate, Limits
from swift_http.metrics import Metrics
from swift_http.requests import ChatRequest, CompletionRequest, EmbeddingRequest
from swift_http.responses import ChatForm, CompletionForm
from swift_http.streams import finished
from swift_http.tools import PARSERS


def create_app(
    engine: ChatEngine,
    *,
    api_key: str | None = None,
    limits: Limits | None = None,
    tool_parser: str = "",
    adapter_folders: Sequence[Path] = (),
) -> FastAPI:
    """An OpenAI-compatible app over `engine`; it serves the names in `engine.models`.

    Args:
        engine: what answers; where it `Embeds`, there is /v1/embeddings too.
        api_key: required as `Authorization: Bearer …` everywhere but at /health; None: open to whoever reaches the port.
        limits: bounds on the queue, on time and on request bodies.
        tool_parser: how the model writes the calls of its tools, a name of `PARSERS`; with any other they stay text.
        adapter_folders: where adapters may lie that requests load, for an engine that `TakesAdapters`; none: requests can't load any.
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
    gate, metrics = Gate(limits), Metrics()
    app.state.gate, app.state.engine = gate, engine
    parser = PARSERS.get(tool_parser)

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

    @app.post("/v1/chat/completions", responses=documents.CHAT)
    async def chat(body: ChatRequest, request: Request) -> Response:
        async def ask() -> Ask:
            turns = [message.turn() for message in body.messages]
            prompt = await asyncio.to_thread(engine.render, turns, tools=body.tools or ())
            reads = parser if body.tools and body.tool_choice != "none" else None
            wishes = replace(body.wishes(), special=reads is not None)
            form = ChatForm(body.model, logprobs=wishes.logprobs is not None, parser=reads)
            return Ask([prompt], wishes, body.stops, form, bool(body.stream), body.include_usage, n=body.n or 1)

        answer = admit(request, "chat", body.model)
        return await finished(answer, respond(answer, engine, ask, most=limits.answers))

    @app.post("/v1/completions", responses=documents.COMPLETION)
    async def completions(body: CompletionRequest, request: Request) -> Response:
        async def ask() -> Ask:
            prompts = [await ids(item) for item in body.prompts()]
            form = CompletionForm(body.model, logprobs=body.logprobs is not None)
            return Ask(prompts, body.wishes(), body.stops, form, bool(body.stream), body.include_usage, bool(body.echo), body.n or 1)

        answer = admit(request, "completions", body.model)
        return await finished(answer, respond(answer, engine, ask, most=limits.answers))

    if isinstance(engine, Embeds):
        embed = engine.embed

        @app.post("/v1/embeddings", responses=documents.EMBEDDINGS)
        async def embeddings(body: EmbeddingRequest, request: Request) -> Response:
            answer = admit(request, "embeddings", body.model)

            async def vectors() -> Response:
                found = []
                for item in body.inputs():
                    prompt = await answer.wait(ids(item))
                    check_fits(prompt, Sampling(max_tokens=0), engine.context, param="input")
                    answer.prompt_tokens += len(prompt)
                    found.append(await answer.wait(embed(prompt, model=body.model)))
                return JSONResponse(responses.embeddings(found, body.model, answer.prompt_tokens, base64=body.encoding_format == "base64"))

            return await finished(answer, vectors())

    if isinstance(engine, TakesAdapters) and adapter_folders:
        add_adapter_routes(app, engine, adapter_folders)

    add_fact_routes(app, engine, metrics)
    if api_key:
        documents.require_key(app, OPEN_PATHS)
    return app
