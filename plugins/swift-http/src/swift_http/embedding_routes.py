"""POST /v1/embeddings, for an engine that is `SupportsEmbeddings`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from swift_http import openapi, response_builders
from swift_http.active_request import ActiveRequest
from swift_http.engine import Sampling
from swift_http.generation import check_fits
from swift_http.requests import EmbeddingRequest
from swift_http.streams import close_when_done


def add_embedding_routes(
    app: FastAPI,
    engine: Any,
    admit: Callable[[Request, str, str], ActiveRequest],
    encode: Callable[[str | list[int]], Awaitable[list[int]]],
) -> None:
    """Add the route. `admit` registers a request as active; `encode` turns an input into token ids."""

    @app.post("/v1/embeddings", responses=openapi.EMBEDDINGS)
    async def embeddings(body: EmbeddingRequest, request: Request) -> Response:
        active = admit(request, "embeddings", body.model)

        async def embed_all() -> Response:
            vectors = []
            for item in body.inputs():
                prompt = await active.wait(encode(item))
                check_fits(prompt, Sampling(max_tokens=0), engine.context, param="input")
                active.prompt_tokens += len(prompt)
                vectors.append(await active.wait(engine.embed(prompt, model=body.model)))
            base64 = body.encoding_format == "base64"
            return response_builders.Json(response_builders.embeddings(vectors, body.model, active.prompt_tokens, base64=base64))

        return await close_when_done(active, embed_all())
