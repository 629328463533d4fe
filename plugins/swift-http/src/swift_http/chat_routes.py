"""Routes for conversations: POST /v1/chat/completions and POST /v1/responses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from swift_http import openapi
from swift_http.active_request import ActiveRequest
from swift_http.engine import ChatEngine, Sampling, media_kinds
from swift_http.forced_calls import FORCED, first_call_only
from swift_http.generation import GenerationRequest, check_supported, respond
from swift_http.limits import Limits
from swift_http.requests import ChatRequest
from swift_http.response_builders import ChatBuilder, ResponseBuilder
from swift_http.responses_api import ResponsesApiBuilder
from swift_http.responses_api_request import ResponsesRequest
from swift_http.streams import close_when_done
from swift_http.tools import ToolParser

MakeBuilder = Callable[[ToolParser | None, list[int], Sampling], ResponseBuilder]


def add_chat_routes(
    app: FastAPI, engine: ChatEngine, admit: Callable[[Request, str, str], ActiveRequest], parser: ToolParser | None, *, limits: Limits
) -> None:
    """Add both routes.

    Args:
        app: the application.
        engine: the model.
        admit: registers a request as active, from (request, endpoint, model).
        parser: reads tool calls in the format of the model's family; None: tool calls stay text.
        limits: of the server.
    """

    async def prepare(body: ChatRequest, make_builder: MakeBuilder) -> GenerationRequest:
        sampling, variables = body.sampling(), body.variables
        check_supported(engine, sampling, variables)
        messages = [message.for_template(media_kinds(engine)) for message in body.messages]
        more: dict[str, Any] = {"variables": variables} if variables else {}
        prompt = await asyncio.to_thread(engine.render, messages, tools=body.tools or (), **more)
        used = FORCED if sampling.forced_calls else parser if body.tools and body.tool_choice != "none" else None
        sampling = replace(sampling, keep_special_tokens=used is not None and not sampling.forced_calls)
        if used and body.parallel_tool_calls is False:
            used = first_call_only(used)
        builder = make_builder(used, prompt, sampling)
        return GenerationRequest([prompt], sampling, body.stops, builder, bool(body.stream), body.include_usage, n=body.n or 1)

    @app.post("/v1/chat/completions", responses=openapi.CHAT)
    async def chat(body: ChatRequest, request: Request) -> Response:
        def make_builder(used: ToolParser | None, prompt: list[int], sampling: Sampling) -> ResponseBuilder:
            prompts = [prompt] if body.return_token_ids else None
            return ChatBuilder(body.model, logprobs=sampling.logprobs is not None, parser=used, prompts=prompts)

        active = admit(request, "chat", body.model)
        return await close_when_done(active, respond(active, engine, partial(prepare, body, make_builder), limits=limits))

    @app.post("/v1/responses", responses=openapi.RESPONSE)
    async def create_response(body: ResponsesRequest, request: Request) -> Response:
        chat = body.as_chat()
        active = admit(request, "responses", body.model)
        prepared = partial(prepare, chat, lambda used, prompt, sampling: ResponsesApiBuilder(body, used))
        return await close_when_done(active, respond(active, engine, prepared, limits=limits))
