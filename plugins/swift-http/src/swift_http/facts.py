"""The routes that ask no answer of the model: tokens of a text, what is served, and how the server is."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from swift_http import documents, responses
from swift_http.asks import check_supported
from swift_http.engine import CanFail, ChatEngine, Sampling
from swift_http.engine_requests import DetokenizeRequest, TokenizeRequest
from swift_http.errors import ApiError, unknown_model
from swift_http.metrics import Metrics


def add_fact_routes(app: FastAPI, engine: ChatEngine, metrics: Metrics) -> None:
    """/tokenize, /detokenize, /v1/models, /health and /metrics."""
    created = int(time.time())

    def known(model: str | None) -> None:
        if model is not None and model not in engine.models:
            raise unknown_model(model, engine.models)

    @app.post("/tokenize", responses=documents.TOKENIZE)
    async def tokenize(body: TokenizeRequest) -> dict[str, Any]:
        known(body.model)
        if body.messages is None:
            tokens = await asyncio.to_thread(engine.encode, body.prompt or "", special=body.add_special_tokens)
        else:
            turns = [message.turn() for message in body.messages]
            variables = body.chat_template_kwargs or {}
            check_supported(engine, Sampling(), variables)
            more: dict[str, Any] = {"variables": variables} if variables else {}
            opens = body.add_generation_prompt
            tokens = await asyncio.to_thread(engine.render, turns, tools=body.tools or (), generation_prompt=opens, **more)
        return {"tokens": tokens, "count": len(tokens), "max_model_len": engine.context}

    @app.post("/detokenize", responses=documents.DETOKENIZE)
    async def detokenize(body: DetokenizeRequest) -> dict[str, str]:
        known(body.model)
        return {"prompt": await asyncio.to_thread(engine.decode, body.tokens)}

    @app.get("/v1/models", responses=documents.MODELS)
    async def models() -> dict[str, Any]:
        return responses.model_list(engine.models, created)

    @app.get("/v1/models/{name:path}", responses=documents.MODEL)
    async def model(name: str) -> dict[str, Any]:
        if name not in engine.models:
            raise unknown_model(name, engine.models)
        return responses.model_entry(name, engine.models, created)

    @app.get("/health", responses=documents.HEALTH)
    async def health() -> dict[str, str]:
        if isinstance(engine, CanFail) and engine.fault is not None:
            raise ApiError(503, "the engine has failed; its log says why", kind="server_error", code="engine_failed")
        return {"status": "ok"}

    @app.get("/metrics", responses=documents.METRICS)
    async def scrape() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)
