"""Generate all choices of one request concurrently and return them as one response or as a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from swift_http import response_builders
from swift_http.active_request import ActiveRequest
from swift_http.engine import OPTIONAL_FIELDS, ChatEngine, DeclaresSupport, Piece, Sampling
from swift_http.errors import ApiError
from swift_http.head_engine import HeadEngine
from swift_http.limits import Limits
from swift_http.response_builders import Choice, Json, ResponseBuilder
from swift_http.streams import EventStream


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request in the engine's terms.

    Attributes:
        prompts: token ids of each prompt.
        sampling: how to sample, for every choice.
        stops: strings that end a completion and are not part of it.
        builder: format of the response.
        stream: return server-sent events.
        include_usage: end the stream with the token counts.
        echo: begin each completion with its prompt.
        n: completions per prompt.
        field: request field that holds the prompt, named in errors.
    """

    prompts: list[list[int]]
    sampling: Sampling
    stops: tuple[str, ...]
    builder: ResponseBuilder
    stream: bool
    include_usage: bool
    echo: bool = False
    n: int = 1
    field: str = "messages"

    def choices(self) -> list[tuple[list[int], Sampling]]:
        """Return prompt and sampling of each choice; with a seed, the choices of one prompt use consecutive seeds."""
        seed = self.sampling.seed
        return [
            (prompt, self.sampling if seed is None else replace(self.sampling, seed=seed + number))
            for prompt in self.prompts
            for number in range(self.n)
        ]


async def respond(
    active: ActiveRequest, engine: ChatEngine, prepare: Callable[[], Awaitable[GenerationRequest]], *, limits: Limits
) -> Response:
    """Return the complete response or an event stream.

    Raises:
        ApiError: 400, more completions or log-probabilities than the limits, or a prompt that does not fit into the context.
    """
    request = await active.wait(prepare())
    if len(request.prompts) * request.n > limits.max_choices:
        message = f"this server returns at most {limits.max_choices} completions per request; send several requests"
        raise ApiError(400, message, param="n")
    if (request.sampling.logprobs or 0) > limits.max_logprobs:
        message = f"this server returns at most {limits.max_logprobs} log-probabilities per token"
        raise ApiError(400, message, param="top_logprobs" if request.field == "messages" else "logprobs")
    for prompt in request.prompts:
        check_fits(prompt, request.sampling, engine.context, param=request.field)
    active.prompt_tokens = sum(map(len, request.prompts))
    if not request.stream:
        return Json(await _complete(active, engine, request))
    events = _events(active, engine, request)
    return EventStream(active, request.builder, await anext(events), events)


def check_supported(engine: ChatEngine | HeadEngine, sampling: Sampling, variables: Mapping[str, Any]) -> None:
    """Check that the engine supports every optional field that the request sets.

    Raises:
        ApiError: 400, with the name of an unsupported field.
    """
    supported = engine.supports if isinstance(engine, DeclaresSupport) else ()
    requested = {"variables": variables, **{name: getattr(sampling, name) for name in OPTIONAL_FIELDS if name != "variables"}}
    for name, field in OPTIONAL_FIELDS.items():
        if requested[name] and name not in supported:
            raise ApiError(400, f"this server does not support '{field}' with that value", param=field)


def check_fits(prompt: list[int], sampling: Sampling, context: int, *, param: str) -> None:
    """Check that prompt and requested completion fit into the context of `context` tokens.

    Raises:
        ApiError: 400, they do not, or the prompt is empty.
    """
    if not prompt:
        raise ApiError(400, "the prompt is empty", param=param)
    requested = sampling.max_tokens if sampling.max_tokens is not None else max(sampling.min_tokens, 1)
    if len(prompt) + requested > context:
        message = (
            f"the maximum context length is {context} tokens, but the prompt has {len(prompt)} tokens"
            f" and the completion was requested with {requested}"
        )
        raise ApiError(400, message, code="context_length_exceeded", param=param)


async def _complete(active: ActiveRequest, engine: ChatEngine, request: GenerationRequest) -> dict[str, Any]:
    choices = [Choice() for _ in range(len(request.prompts) * request.n)]
    async with aclosing(_merged(active, engine, request)) as pieces:
        async for index, piece in pieces:
            choices[index].add(piece)
    return request.builder.complete(choices, response_builders.usage(active.prompt_tokens, active.completion_tokens))


async def _events(active: ActiveRequest, engine: ChatEngine, request: GenerationRequest) -> AsyncGenerator[dict[str, Any]]:
    opened: set[int] = set()
    async with aclosing(_merged(active, engine, request)) as pieces:
        async for index, piece in pieces:
            if index not in opened:  # sent with the first piece, so that an earlier failure still gets an HTTP status
                opened.add(index)
                for event in request.builder.opening(index):
                    yield event
            for event in request.builder.chunk(index, piece):
                yield event
    if request.include_usage:
        for event in request.builder.last(response_builders.usage(active.prompt_tokens, active.completion_tokens)):
            yield event


async def _merged(active: ActiveRequest, engine: ChatEngine, request: GenerationRequest) -> AsyncGenerator[tuple[int, Piece]]:
    """Yield the pieces of all choices as they arrive, with the index of the choice; the first error, or an abort, ends all choices."""
    arrived: asyncio.Queue[tuple[int, Piece] | Exception | None] = asyncio.Queue()

    async def pump(index: int, prompt: list[int], sampling: Sampling) -> None:
        end: Exception | None = None
        try:
            async with aclosing(_pieces(active, engine, request, prompt, sampling)) as pieces:
                async for piece in pieces:
                    arrived.put_nowait((index, piece))
        except Exception as error:
            end = error
        arrived.put_nowait(end)

    def abort(aborted: asyncio.Future[Exception]) -> None:
        arrived.put_nowait(aborted.result())

    active.aborted.add_done_callback(abort)
    tasks = [asyncio.create_task(pump(index, *choice)) for index, choice in enumerate(request.choices())]
    try:
        running = len(tasks)
        while running:
            item = await arrived.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        active.aborted.remove_done_callback(abort)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pieces(
    active: ActiveRequest, engine: ChatEngine, request: GenerationRequest, prompt: list[int], sampling: Sampling
) -> AsyncGenerator[Piece]:
    """Yield the pieces of one choice; with `echo`, the prompt is the first."""
    if request.echo:
        top = sampling.logprobs
        scored = await engine.score(prompt, model=active.model, top=top) if top is not None else []
        yield Piece(engine.decode(prompt), tuple(scored), "length" if sampling.max_tokens == 0 else None)
    if sampling.max_tokens == 0:
        if not request.echo:
            yield Piece("", (), "length")
        return
    async with aclosing(active.pieces(prompt, sampling, request.stops)) as pieces:
        async for piece in pieces:
            yield piece
