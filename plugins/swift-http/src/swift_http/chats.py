"""POST /v1/chat/completions and /v1/responses: conversations, in two shapes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from fastapi import FastAPI, Request
from starlette.responses import Response

from swift_http import documents
from swift_http.answer import Answer
from swift_http.asks import Ask, check_supported, respond
from swift_http.engine import ChatEngine, Sampling
from swift_http.forced_calls import FORCED, one_call
from swift_http.requests import ChatRequest
from swift_http.response_form import ResponseForm
from swift_http.response_requests import ResponsesRequest
from swift_http.responses import ChatForm, Form
from swift_http.streams import finished
from swift_http.tools import ToolParser


def add_chat_routes(
    app: FastAPI, engine: ChatEngine, admit: Callable[[Request, str, str], Answer], parser: ToolParser | None, *, most: int
) -> None:
    """Both routes. `admit` lets a request in, `parser` reads the calls of the model's family, `most` answers come to one request."""

    async def chat_ask(body: ChatRequest, form: Callable[[ToolParser | None, list[int], Sampling], Form]) -> Ask:
        wishes, variables = body.wishes(), body.variables
        check_supported(engine, wishes, variables)
        turns = [message.turn() for message in body.messages]
        more = {"variables": variables} if variables else {}
        prompt = await asyncio.to_thread(engine.render, turns, tools=body.tools or (), **more)
        reads = FORCED if wishes.calls else parser if body.tools and body.tool_choice != "none" else None
        wishes = replace(wishes, special=reads is not None and not wishes.calls)
        if reads and body.parallel_tool_calls is False:
            reads = one_call(reads)
        return Ask([prompt], wishes, body.stops, form(reads, prompt, wishes), bool(body.stream), body.include_usage, n=body.n or 1)

    @app.post("/v1/chat/completions", responses=documents.CHAT)
    async def chat(body: ChatRequest, request: Request) -> Response:
        def form(reads: ToolParser | None, prompt: list[int], wishes: Sampling) -> Form:
            prompts = [prompt] if body.return_token_ids else None
            return ChatForm(body.model, logprobs=wishes.logprobs is not None, parser=reads, prompts=prompts)

        answer = admit(request, "chat", body.model)
        return await finished(answer, respond(answer, engine, lambda: chat_ask(body, form), most=most))

    @app.post("/v1/responses", responses=documents.RESPONSE)
    async def create_response(body: ResponsesRequest, request: Request) -> Response:
        chat = body.chat()
        answer = admit(request, "responses", body.model)
        ask = partial(chat_ask, chat, lambda reads, prompt, wishes: ResponseForm(body, reads))
        return await finished(answer, respond(answer, engine, ask, most=most))
