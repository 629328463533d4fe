"""POST /v1/embeddings, /v1/classify, /v1/score and /v1/rerank over a `HeadEngine`, also at vLLM's and Cohere's other paths."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from swift_http import openapi, response_builders
from swift_http.active_request import ActiveRequest
from swift_http.engine import ChatEngine
from swift_http.errors import ApiError
from swift_http.head_engine import HeadEngine, HeadRequest, HeadTask
from swift_http.head_requests import ClassifyRequest, HeadEmbeddingRequest, RerankRequest, ScoreRequest
from swift_http.labelled_texts import labelled
from swift_http.response_builders import Json
from swift_http.streams import close_when_done

PATHS: dict[HeadTask | str, tuple[str, ...]] = {
    "embed": ("/v1/embeddings",),
    "classify": ("/v1/classify", "/classify"),
    "score": ("/v1/score", "/score"),
    "rerank": ("/v1/rerank", "/rerank", "/v2/rerank"),
}
_NEED = {
    "embed": "is no embedding model",
    "classify": "is no classifier",
    "token_classify": "is no token classifier",
    "score": "scores no pairs of a query and a document (its chat template has no such roles)",
}
MAX_TEXTS = 2048  # of one request, as OpenAI's


def add_head_routes(app: FastAPI, engine: HeadEngine, admit: Callable[[Request, str, str], ActiveRequest]) -> None:
    """Add the routes. `admit` registers a request as active."""

    async def answer(
        request: Request, endpoint: str, task: HeadTask, model: str, *, count: int, work: Callable[[ActiveRequest], Awaitable[Response]]
    ) -> Response:
        active = admit(request, endpoint, model)

        async def checked() -> Response:
            if task not in engine.tasks(model):
                raise ApiError(400, f"'{model}' {_NEED[task]}; it has: {', '.join(sorted(engine.tasks(model)))}", param="model")
            if count > MAX_TEXTS:
                raise ApiError(400, f"at most {MAX_TEXTS} texts per request, not {count}; send several requests", param="input")
            return await work(active)

        return await close_when_done(active, checked())

    async def embeddings(body: HeadEmbeddingRequest, request: Request) -> Response:
        async def work(active: ActiveRequest) -> Response:
            asked = HeadRequest(model=body.model, truncate=body.truncate_prompt_tokens, prompt=body.prompt)
            found = await active.wait(engine.embed(body.inputs(), asked))
            active.prompt_tokens = found.tokens
            vectors = [_shortened(vector, body.dimensions) for vector in found.rows]
            base64 = body.encoding_format == "base64"
            return Json(response_builders.embeddings(vectors, body.model, found.tokens, base64=base64))

        return await answer(request, "embeddings", "embed", body.model, count=len(body.inputs()), work=work)

    async def classify(body: ClassifyRequest, request: Request) -> Response:
        tokens = body.model in engine.models and "token_classify" in engine.tasks(body.model)

        async def work(active: ActiveRequest) -> Response:
            asked = HeadRequest(model=body.model, truncate=body.truncate_prompt_tokens, activate=body.activate)
            labels = engine.labels(body.model)
            if tokens:
                texts = body.texts()
                parts, count = await active.wait(engine.classify_tokens(texts, asked))
                active.prompt_tokens = count
                named = [{"index": number, **labelled(*each, labels)} for number, each in enumerate(zip(texts, parts, strict=True))]
                return Json(_listed("classify", body.model, named, count))
            found = await active.wait(engine.classify(body.items(), asked))
            active.prompt_tokens = found.tokens
            data = [_class(index, numbers, labels) for index, numbers in enumerate(found.rows)]
            return Json(_listed("classify", body.model, data, found.tokens))

        task: HeadTask = "token_classify" if tokens else "classify"
        return await answer(request, "classify", task, body.model, count=len(body.items()), work=work)

    async def score(body: ScoreRequest, request: Request) -> Response:
        pairs = body.pairs()

        async def work(active: ActiveRequest) -> Response:
            asked = HeadRequest(model=body.model, truncate=body.truncate_prompt_tokens, activate=body.activate)
            found = await active.wait(engine.score(pairs, asked))
            active.prompt_tokens = found.tokens
            data = [{"index": index, "object": "score", "score": numbers[0]} for index, numbers in enumerate(found.rows)]
            return Json(_listed("score", body.model, data, found.tokens))

        return await answer(request, "score", "score", body.model, count=len(pairs), work=work)

    async def rerank(body: RerankRequest, request: Request) -> Response:
        texts = body.texts()

        async def work(active: ActiveRequest) -> Response:
            asked = HeadRequest(model=body.model, truncate=body.truncate_prompt_tokens, activate=body.activate)
            found = await active.wait(engine.score([(body.query, text) for text in texts], asked))
            active.prompt_tokens = found.tokens
            best = sorted(range(len(texts)), key=lambda place: -found.rows[place][0])[: body.top_n or len(texts)]
            shown = [{"document": {"text": texts[place]}} if body.return_documents is not False else {} for place in best]
            results = [{"index": place, **more, "relevance_score": found.rows[place][0]} for place, more in zip(best, shown, strict=True)]
            usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
            return Json({"id": _name("rerank"), "model": body.model, "results": results, "usage": usage})

        return await answer(request, "rerank", "score", body.model, count=len(texts), work=work)

    handlers: dict[str, Callable[..., Awaitable[Response]]] = {"embed": embeddings, "classify": classify, "score": score, "rerank": rerank}
    schemas = {"embed": openapi.EMBEDDINGS, "classify": openapi.CLASSES, "score": openapi.SCORES, "rerank": openapi.RANKING}
    for task, handler in handlers.items():
        for path in PATHS[task]:
            app.post(path, responses=schemas[task], operation_id=f"{task}{path.replace('/', '_')}")(handler)


def refuse_generation(app: FastAPI, engine: HeadEngine | ChatEngine) -> None:
    """Answer the routes that generate text with the reason why this model has none."""

    async def refused(request: Request) -> Response:
        raise ApiError(
            400,
            f"'{engine.models[0]}' gives vectors, classes or scores of texts and generates none: "
            "use /v1/embeddings, /v1/classify, /v1/score or /v1/rerank",
            param="model",
        )

    for path in ("/v1/chat/completions", "/v1/completions", "/v1/responses"):
        app.post(path, include_in_schema=False)(refused)


def _shortened(vector: Sequence[float], size: int | None) -> Sequence[float]:
    """Return the first numbers of a vector, of unit length if the vector is."""
    if size is None or size == len(vector):
        return vector
    if size > len(vector):
        raise ApiError(400, f"the vectors have {len(vector)} numbers, fewer than {size}", param="dimensions")
    first, unit = vector[:size], abs(math.hypot(*vector) - 1) < 1e-3
    length = math.hypot(*first) if unit else 1.0
    return [value / length for value in first] if length else first


def _class(index: int, numbers: Sequence[float], labels: Sequence[str]) -> dict[str, Any]:
    best = max(range(len(numbers)), key=lambda place: numbers[place])
    label = labels[best] if best < len(labels) else None
    return {"index": index, "label": label, "probs": list(numbers), "num_classes": len(numbers)}


def _listed(kind: str, model: str, data: list[dict[str, Any]], tokens: int) -> dict[str, Any]:
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"id": _name(kind), "object": "list", "created": int(time.time()), "model": model, "data": data, "usage": usage}


def _name(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex}"
