"""Schemas of the responses in /openapi.json. Schemas of the requests are generated from their classes."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from fastapi import FastAPI

_Responses = dict[int | str, dict[str, Any]]


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _ok(schema: dict[str, Any], *, description: str = "The response", stream: bool = False) -> _Responses:
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if stream:
        content["text/event-stream"] = {"schema": {"type": "string", "description": "with `stream`: server-sent events up to [DONE]"}}
    return {200: {"description": description, "content": content}}


_STRING, _INTEGER, _NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
_OR_NONE = {"type": ["string", "null"]}
_ERROR = _object(error=_object(message=_STRING, type=_STRING, param=_OR_NONE, code=_OR_NONE))
_USAGE = _object(prompt_tokens=_INTEGER, completion_tokens=_INTEGER, total_tokens=_INTEGER)
_ENTRY = _object(id=_STRING, object={"const": "model"}, created=_INTEGER, owned_by=_STRING, root=_STRING, parent=_OR_NONE)
_VECTOR = {"anyOf": [_list(_NUMBER), {"type": "string", "description": "base64 of little-endian float32"}]}


def _completion(kind: str, **choice: Any) -> dict[str, Any]:
    choices = _list(_object(index=_INTEGER, **choice, logprobs={"type": ["object", "null"]}, finish_reason=_STRING))
    return _object(id=_STRING, object={"const": kind}, created=_INTEGER, model=_STRING, choices=choices, usage=_USAGE)


def _refused(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ERROR}}}


ERRORS: _Responses = {
    "4XX": _refused("Client error: 400, 401 (API key), 404 (model), 408 (slow body), 413 (large body), 429 (busy: see Retry-After)"),
    "5XX": _refused("Server error: 500, 503 (stopping), 504 (request timeout)"),
}
CHAT = _ok(_completion("chat.completion", message=_object(role={"const": "assistant"}, content=_OR_NONE)), stream=True)
COMPLETION = _ok(_completion("text_completion", text=_STRING), stream=True)
TRANSCRIPTION = _ok(_object(text=_STRING))
RESPONSE = _ok(
    _object(id=_STRING, object={"const": "response"}, created_at=_INTEGER, model=_STRING, status=_STRING, output=_list({"type": "object"})),
    stream=True,
)
EMBEDDINGS = _ok(
    _object(
        object={"const": "list"},
        data=_list(_object(object={"const": "embedding"}, index=_INTEGER, embedding=_VECTOR)),
        model=_STRING,
        usage=_object(prompt_tokens=_INTEGER, total_tokens=_INTEGER),
    )
)
_COUNTS = _object(prompt_tokens=_INTEGER, total_tokens=_INTEGER)


def _listed(**item: Any) -> _Responses:
    return _ok(
        _object(
            id=_STRING,
            object={"const": "list"},
            created=_INTEGER,
            model=_STRING,
            data=_list(_object(index=_INTEGER, **item)),
            usage=_COUNTS,
        )
    )


CLASSES = _listed(num_classes=_INTEGER)  # with label and probs; of token classifiers with tokens and entities
SCORES = _listed(object={"const": "score"}, score=_NUMBER)
RANKING = _ok(_object(id=_STRING, model=_STRING, results=_list(_object(index=_INTEGER, relevance_score=_NUMBER)), usage=_COUNTS))
TOKENIZE = _ok(_object(tokens=_list(_INTEGER), count=_INTEGER, max_model_len=_INTEGER))
DETOKENIZE = _ok(_object(prompt=_STRING))
MODELS = _ok(_object(object={"const": "list"}, data=_list(_ENTRY)))
MODEL = _ok(_ENTRY)
HEALTH = _ok(_object(status={"const": "ok"}), description="The server accepts requests")
METRICS: _Responses = {200: {"description": "Prometheus text format", "content": {"text/plain": {"schema": _STRING}}}}
WEIGHTS = _ok(_object(success={"type": "boolean"}, message=_STRING), description="Done")
ADAPTER = _ok(_object(models=_list(_STRING)), description="Done; the names that are served now")


def require_key(app: FastAPI, except_paths: Container[str]) -> None:
    """Declare in /openapi.json that every path needs the API key, except `except_paths`."""
    make = app.openapi

    def with_key() -> dict[str, Any]:
        document = make()
        document.setdefault("components", {})["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                operation["security"] = [] if path in except_paths else [{"key": []}]
        return document

    app.openapi = with_key  # type: ignore[method-assign]
