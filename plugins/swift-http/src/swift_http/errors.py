"""Errors as OpenAI's clients expect them: `{"error": {message, type, param, code}}`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from swift_core.contract.errors import SwiftError, UsageError, suggestion

log = logging.getLogger("swift_http")
_NO_JSON = "the request body is not valid JSON in UTF-8, or is nested too deep or compressed"


class ApiError(HTTPException):
    """A refusal with its HTTP status. `kind` is OpenAI's `type`, `param` the field it is about."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, headers)
        self.body = error_body(message, kind=kind, code=code, param=param)

    def response(self) -> JSONResponse:
        """The HTTP answer."""
        return JSONResponse(self.body, self.status_code, self.headers)


def error_body(message: str, *, kind: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def unknown_model(name: str, models: Sequence[str]) -> ApiError:
    """404 with the names that are served."""
    hint = suggestion(name, models)
    message = f"the model '{name[:100]}' is not served here. {hint + ' ' if hint else ''}Served: {', '.join(models)}."
    return ApiError(404, message, code="model_not_found", param="model")


def from_exception(error: Exception) -> ApiError:
    """Any error of a handler or an engine as an answer; what was unforeseen is logged here and not told to the client."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, UsageError):
        return ApiError(400, str(error), param=error.where if error.where.isidentifier() else None)
    if isinstance(error, SwiftError):
        return ApiError(500, str(error), kind="server_error")
    log.error("a request failed", exc_info=error)
    return ApiError(500, "the server failed; its log says why", kind="server_error")


def install(app: FastAPI) -> None:
    """Make every error of the app leave in OpenAI's shape."""

    async def any_error(_: Request, error: Exception) -> JSONResponse:
        return from_exception(error).response()

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return _validation(error).response()

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        unread = error.status_code == 400  # FastAPI could not parse the body, and says no more
        return ApiError(error.status_code, _NO_JSON if unread else str(error.detail), headers=error.headers).response()

    for kind in (ApiError, SwiftError, Exception):
        app.add_exception_handler(kind, any_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _validation(error: RequestValidationError) -> ApiError:
    """A fault in words and its field. The value that was sent is not repeated: it may be private."""
    faults = [(_place(fault["loc"], error.body, missing=fault["type"] == "missing"), fault) for fault in error.errors()]
    # Of a value that may be of several types there is a fault for each: the one furthest inside counts, then one of no type.
    path, first = max(faults, key=lambda pair: (len(pair[0]), not pair[1]["type"].endswith("_type")))
    if first["type"] == "json_invalid":
        return ApiError(400, _NO_JSON)
    if first["type"] == "missing" and error.body is None:
        return ApiError(400, "the request body is empty; it must be a JSON object")
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"unrecognized request argument: {path[-1]}", param=path[-1])
    if not path and first["type"] == "model_attributes_type":  # what FastAPI says where it took the body for text
        return ApiError(400, "the request body must be a JSON object, sent with Content-Type: application/json")
    message = str(first["msg"]).removeprefix("Value error, ")
    param = ".".join(path) or None
    return ApiError(400, f"{param}: {message}" if param else message, param=param)


def _place(path: Sequence[str | int], body: Any, *, missing: bool) -> list[str]:
    """The path of a fault, less the names of types that were tried, which are not in the body. Its last part is what is `missing`."""
    parts = [part for part in path if part != "body"]
    place: list[str] = []
    for number, part in enumerate(parts):
        inside = part in body if isinstance(body, dict) else isinstance(body, list) and isinstance(part, int) and part < len(body)
        if inside:
            body = body[part]
        if inside or (missing and number == len(parts) - 1):
            place.append(str(part))
    return place
