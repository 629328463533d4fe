"""The application: routes over a ChatEngine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from swift_http import errors, responses
from swift_http.answer import Answer, ClientGone
from swift_http.engine import ChatEngine, Piece, Sampling
from swift_http.errors import ApiError, from_exception, unknown_model
from swift_http.guard import Guard
from swift_http.limits import Gate, Limits
from swift_http.metrics import Metrics
from swift_http.requests import ChatRequest, CompletionRequest, DetokenizeRequest, TokenizeRequest
from swift_http.responses import ChatForm, Choice, CompletionForm, Form
from swift_http.streams import EventStream


@dataclass(frozen=True, slots=True)
class _Ask:
    """What one HTTP request wants: prompts in token ids, how to choose tokens, and how to say it."""

    prompts: list[list[int]]
    sampling: Sampling
    stops: tuple[str, ...]
    form: Form
    stream: bool
    include_usage: bool
    echo: bool = False


def create_app(engine: ChatEngine, *, api_key: str | None = None, limits: Limits | None = None) -> FastAPI:
    """An OpenAI-compatible app over `engine`; it serves the names in `engine.models`.

    Args:
        engine: what answers.
        api_key: required as `Authorization: Bearer …` everywhere but at /health; None: open to whoever reaches the port.
        limits: bounds on the queue and on request bodies.
    """
    limits = limits or Limits()
    app = FastAPI(title="swift-core", docs_url=None, redoc_url=None, openapi_url=None)
    errors.install(app)
    app.add_middleware(Guard, api_key=api_key, max_body=limits.body)
    gate, metrics, created = Gate(limits), Metrics(), int(time.time())
    app.state.gate = gate

    def admit(request: Request, endpoint: str, model: str) -> Answer:
        try:
            if model not in engine.models:
                raise unknown_model(model, engine.models)
            return Answer(request, engine, gate, metrics, endpoint=endpoint, model=model)
        except ApiError as error:
            metrics.refused(endpoint, error.status_code)
            raise

    def known(model: str | None) -> None:
        if model is not None and model not in engine.models:
            raise unknown_model(model, engine.models)

    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Response:
        async def ask() -> _Ask:
            turns = [message.turn() for message in body.messages]
            prompt = await asyncio.to_thread(engine.render, turns, tools=body.tools or ())
            wishes = body.wishes()
            form = ChatForm(body.model, logprobs=wishes.logprobs is not None)
            return _Ask([prompt], wishes, body.stops, form, bool(body.stream), body.include_usage)

        return await _respond(admit(request, "chat", body.model), engine, ask)

    @app.post("/v1/completions")
    async def completions(body: CompletionRequest, request: Request) -> Response:
        async def ask() -> _Ask:
            prompts = [await asyncio.to_thread(engine.encode, item) if isinstance(item, str) else item for item in body.prompts()]
            form = CompletionForm(body.model, logprobs=body.logprobs is not None)
            return _Ask(prompts, body.wishes(), body.stops, form, bool(body.stream), body.include_usage, bool(body.echo))

        return await _respond(admit(request, "completions", body.model), engine, ask)

    @app.post("/tokenize")
    async def tokenize(body: TokenizeRequest) -> dict[str, Any]:
        known(body.model)
        if body.messages is None:
            tokens = await asyncio.to_thread(engine.encode, body.prompt or "", special=body.add_special_tokens)
        else:
            turns = [message.turn() for message in body.messages]
            tokens = await asyncio.to_thread(engine.render, turns, tools=body.tools or (), generation_prompt=body.add_generation_prompt)
        return {"tokens": tokens, "count": len(tokens), "max_model_len": engine.context}

    @app.post("/detokenize")
    async def detokenize(body: DetokenizeRequest) -> dict[str, str]:
        known(body.model)
        return {"prompt": await asyncio.to_thread(engine.decode, body.tokens)}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return responses.model_list(engine.models, created)

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        if name not in engine.models:
            raise unknown_model(name, engine.models)
        return responses.model_entry(name, engine.models, created)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    async def scrape() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return app


async def _respond(answer: Answer, engine: ChatEngine, make: Callable[[], Awaitable[_Ask]]) -> Response:
    """The whole answer, or its stream; closes `answer` unless the stream does."""
    try:
        ask = await answer.wait(make())
        for prompt in ask.prompts:
            _check_fits(prompt, ask.sampling, engine.context)
        if not ask.stream:
            response: Response = JSONResponse(await _whole(answer, engine, ask))
            answer.close()
            return response
        chunks = _chunks(answer, engine, ask)
        return EventStream(answer, await anext(chunks), chunks)
    except ClientGone as gone:
        answer.close(gone)
        return Response(status_code=499)  # nobody reads it
    except Exception as error:
        refusal = from_exception(error)
        answer.close(refusal)
        raise refusal from None
    except BaseException as error:  # the server is stopping
        answer.close(error)
        raise


async def _whole(answer: Answer, engine: ChatEngine, ask: _Ask) -> dict[str, Any]:
    choices = [Choice() for _ in ask.prompts]
    for choice, prompt in zip(choices, ask.prompts, strict=True):
        async with aclosing(_pieces(answer, engine, ask, prompt)) as pieces:
            async for piece in pieces:
                choice.add(piece)
    return ask.form.whole(choices, responses.usage(answer.prompt_tokens, answer.completion_tokens))


async def _chunks(answer: Answer, engine: ChatEngine, ask: _Ask) -> AsyncGenerator[dict[str, Any]]:
    for index, prompt in enumerate(ask.prompts):
        opening = ask.form.opening(index)
        async with aclosing(_pieces(answer, engine, ask, prompt)) as pieces:
            async for piece in pieces:
                if opening:  # said with the first piece, so that a failure before it can still have an HTTP status
                    yield opening
                    opening = None
                if piece.text or piece.finish or ask.sampling.logprobs is not None:
                    yield ask.form.chunk(index, piece)
    if ask.include_usage:
        yield ask.form.last(responses.usage(answer.prompt_tokens, answer.completion_tokens))


async def _pieces(answer: Answer, engine: ChatEngine, ask: _Ask, prompt: list[int]) -> AsyncGenerator[Piece]:
    """The pieces of one prompt: where it is to be echoed, the prompt itself is the first."""
    if ask.echo:
        top = ask.sampling.logprobs
        scored = await answer.wait(engine.score(prompt, model=answer.model, top=top)) if top is not None else []
        yield Piece(engine.decode(prompt), tuple(scored), "length" if ask.sampling.max_tokens == 0 else None)
    if ask.sampling.max_tokens == 0:
        return
    async with aclosing(answer.pieces(prompt, ask.sampling, ask.stops)) as pieces:
        async for piece in pieces:
            yield piece


def _check_fits(prompt: list[int], sampling: Sampling, context: int) -> None:
    """Refuse a prompt that leaves no room for the answer that was asked for.

    Raises:
        ApiError: 400.
    """
    if not prompt:
        raise ApiError(400, "the prompt is empty", param="prompt")
    wanted = max(sampling.max_tokens if sampling.max_tokens is not None else 1, 0)
    if len(prompt) + wanted > context:
        message = f"this model reads and writes {context} tokens at most; the prompt has {len(prompt)} and the answer was to have {wanted}"
        raise ApiError(400, message, code="context_length_exceeded", param="messages")
