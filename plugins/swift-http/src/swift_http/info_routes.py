"""Routes that generate nothing: tokenize and detokenize, the list of models, health and metrics."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from swift_http import openapi, response_builders
from swift_http.engine import ChatEngine, ReportsFailure, Sampling, media_kinds
from swift_http.errors import ApiError, unknown_model
from swift_http.generation import check_supported
from swift_http.head_engine import HeadEngine
from swift_http.metrics import Metrics
from swift_http.vllm_requests import DetokenizeRequest, TokenizeRequest


def add_info_routes(app: FastAPI, engine: ChatEngine | HeadEngine, metrics: Metrics) -> None:
    """Add /tokenize, /detokenize, /v1/models, /health and /metrics."""
    created = int(time.time())

    def check_model(model: str | None) -> None:
        if model is not None and model not in engine.models:
            raise unknown_model(model, engine.models)

    @app.post("/tokenize", responses=openapi.TOKENIZE)
    async def tokenize(body: TokenizeRequest) -> dict[str, Any]:
        check_model(body.model)
        if body.messages is None:
            tokens = await asyncio.to_thread(engine.encode, body.prompt or "", special=body.add_special_tokens)
        else:
            messages = [message.for_template(media_kinds(engine)) for message in body.messages]
            variables = body.chat_template_kwargs or {}
            check_supported(engine, Sampling(), variables)
            more: dict[str, Any] = {"variables": variables} if variables else {}
            tokens = await asyncio.to_thread(
                engine.render, messages, tools=body.tools or (), generation_prompt=body.add_generation_prompt, **more
            )
        return {"tokens": tokens, "count": len(tokens), "max_model_len": engine.context}

    @app.post("/detokenize", responses=openapi.DETOKENIZE)
    async def detokenize(body: DetokenizeRequest) -> dict[str, str]:
        check_model(body.model)
        return {"prompt": await asyncio.to_thread(engine.decode, body.tokens)}

    @app.get("/v1/models", responses=openapi.MODELS)
    async def models() -> dict[str, Any]:
        return response_builders.model_list(engine.models, created)

    @app.get("/v1/models/{name:path}", responses=openapi.MODEL)
    async def model(name: str) -> dict[str, Any]:
        if name not in engine.models:
            raise unknown_model(name, engine.models)
        return response_builders.model_entry(name, engine.models, created)

    @app.get("/health", responses=openapi.HEALTH)
    async def health() -> dict[str, str]:
        if isinstance(engine, ReportsFailure) and engine.fault is not None:
            raise ApiError(503, "the engine has failed; see the server's log", kind="server_error", code="engine_failed")
        return {"status": "ok"}

    @app.get("/metrics", responses=openapi.METRICS)
    async def scrape() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)
