"""POST /v1/embeddings, for an engine that `Embeds`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from swift_http import documents, responses
from swift_http.answer import Answer
from swift_http.asks import check_fits
from swift_http.engine import Sampling
from swift_http.requests import EmbeddingRequest
from swift_http.streams import finished


def add_embedding_route(
    app: FastAPI, engine: Any, admit: Callable[[Request, str, str], Answer], ids: Callable[[str | list[int]], Awaitable[list[int]]]
) -> None:
    """The route. `admit` lets a request in, `ids` makes token ids of an input."""

    @app.post("/v1/embeddings", responses=documents.EMBEDDINGS)
    async def embeddings(body: EmbeddingRequest, request: Request) -> Response:
        answer = admit(request, "embeddings", body.model)

        async def vectors() -> Response:
            found = []
            for item in body.inputs():
                prompt = await answer.wait(ids(item))
                check_fits(prompt, Sampling(max_tokens=0), engine.context, param="input")
                answer.prompt_tokens += len(prompt)
                found.append(await answer.wait(engine.embed(prompt, model=body.model)))
            packed = body.encoding_format == "base64"
            return responses.Json(responses.embeddings(found, body.model, answer.prompt_tokens, base64=packed))

        return await finished(answer, vectors())
