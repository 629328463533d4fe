"""What one request wants, and its answer: every choice at the same time, whole or streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from swift_http import responses
from swift_http.answer import Answer
from swift_http.engine import EXTENDED, ChatEngine, Extends, Piece, Sampling
from swift_http.errors import ApiError
from swift_http.responses import Choice, Form, Json
from swift_http.streams import EventStream


@dataclass(frozen=True, slots=True)
class Ask:
    """Prompts in token ids, `n` answers to each, how to choose tokens, and how to say it. `field` is where the prompts came from."""

    prompts: list[list[int]]
    sampling: Sampling
    stops: tuple[str, ...]
    form: Form
    stream: bool
    include_usage: bool
    echo: bool = False
    n: int = 1
    field: str = "messages"

    def choices(self) -> list[tuple[list[int], Sampling]]:
        """Each choice's prompt and sampling; those of one prompt have seeds of their own, one after the other."""
        seed = self.sampling.seed
        return [
            (prompt, self.sampling if seed is None else replace(self.sampling, seed=seed + number))
            for prompt in self.prompts
            for number in range(self.n)
        ]


async def respond(answer: Answer, engine: ChatEngine, make: Callable[[], Awaitable[Ask]], *, most: int) -> Response:
    """The whole answer, or its stream, of `most` choices."""
    ask = await answer.wait(make())
    if len(ask.prompts) * ask.n > most:
        raise ApiError(400, f"this server gives {most} answers to a request at most; send several", param="n")
    for prompt in ask.prompts:
        check_fits(prompt, ask.sampling, engine.context, param=ask.field)
    answer.prompt_tokens = sum(map(len, ask.prompts))
    if not ask.stream:
        return Json(await _whole(answer, engine, ask))
    chunks = _chunks(answer, engine, ask)
    return EventStream(answer, ask.form, await anext(chunks), chunks)


def check_supported(engine: ChatEngine, sampling: Sampling, variables: Mapping[str, Any]) -> None:
    """Refuse what this engine would not heed.

    Raises:
        ApiError: 400.
    """
    supported = engine.supports if isinstance(engine, Extends) else ()
    asked = {"variables": variables, **{name: getattr(sampling, name) for name in EXTENDED if name != "variables"}}
    for name, field in EXTENDED.items():
        if asked[name] and name not in supported:
            raise ApiError(400, f"'{field}' is not supported by this server with that value", param=field)


def check_fits(prompt: list[int], sampling: Sampling, context: int, *, param: str) -> None:
    """Refuse a prompt that leaves no room for the answer that was asked for.

    Raises:
        ApiError: 400.
    """
    if not prompt:
        raise ApiError(400, "the prompt is empty", param=param)
    wanted = sampling.max_tokens if sampling.max_tokens is not None else max(sampling.min_tokens, 1)
    if len(prompt) + wanted > context:
        message = f"this model reads and writes {context} tokens at most; the prompt has {len(prompt)} and the answer was to have {wanted}"
        raise ApiError(400, message, code="context_length_exceeded", param=param)


async def _whole(answer: Answer, engine: ChatEngine, ask: Ask) -> dict[str, Any]:
    choices = [Choice() for _ in range(len(ask.prompts) * ask.n)]
    async with aclosing(_merged(answer, engine, ask)) as pieces:
        async for index, piece in pieces:
            choices[index].add(piece)
    return ask.form.whole(choices, responses.usage(answer.prompt_tokens, answer.completion_tokens))


async def _chunks(answer: Answer, engine: ChatEngine, ask: Ask) -> AsyncGenerator[dict[str, Any]]:
    opened: set[int] = set()
    async with aclosing(_merged(answer, engine, ask)) as pieces:
        async for index, piece in pieces:
            if index not in opened:  # said with the first piece, so that a failure before it can still have an HTTP status
                opened.add(index)
                for event in ask.form.opening(index):
                    yield event
            for event in ask.form.chunk(index, piece):
                yield event
    if ask.include_usage:
        for event in ask.form.last(responses.usage(answer.prompt_tokens, answer.completion_tokens)):
            yield event


async def _merged(answer: Answer, engine: ChatEngine, ask: Ask) -> AsyncGenerator[tuple[int, Piece]]:
    """The pieces of all choices as they come, each with the number of its choice; the first error, or the request's end, ends all."""
    came: asyncio.Queue[tuple[int, Piece] | Exception | None] = asyncio.Queue()

    async def pump(index: int, prompt: list[int], sampling: Sampling) -> None:
        end: Exception | None = None
        try:
            async with aclosing(_pieces(answer, engine, ask, prompt, sampling)) as pieces:
                async for piece in pieces:
                    came.put_nowait((index, piece))
        except Exception as error:
            end = error
        came.put_nowait(end)

    def end(ended: asyncio.Future[Exception]) -> None:
        came.put_nowait(ended.result())

    answer.ended.add_done_callback(end)
    tasks = [asyncio.create_task(pump(index, *choice)) for index, choice in enumerate(ask.choices())]
    try:
        left = len(tasks)
        while left:
            item = await came.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                left -= 1
            else:
                yield item
    finally:
        answer.ended.remove_done_callback(end)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pieces(answer: Answer, engine: ChatEngine, ask: Ask, prompt: list[int], sampling: Sampling) -> AsyncGenerator[Piece]:
    """The pieces of one choice: where the prompt is to be echoed, it is the first."""
    if ask.echo:
        top = sampling.logprobs
        scored = await engine.score(prompt, model=answer.model, top=top) if top is not None else []
        yield Piece(engine.decode(prompt), tuple(scored), "length" if sampling.max_tokens == 0 else None)
    if sampling.max_tokens == 0:
        if not ask.echo:
            yield Piece("", (), "length")
        return
    async with aclosing(answer.pieces(prompt, sampling, ask.stops)) as pieces:
        async for piece in pieces:
            yield piece
