"""Errors in OpenAI's format: `{"error": {message, type, param, code}}`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swift_core.contract import SwiftError, UsageError, suggestion

log = logging.getLogger("swift_http")
_INVALID_JSON = "the request body is not valid UTF-8 encoded JSON, is nested too deep, or is compressed"


class ApiError(HTTPException):
    """An error response with its HTTP status. `kind` is OpenAI's `type`; `param` names the request field at fault."""

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
        """Return the HTTP response."""
        return JSONResponse(self.body, self.status_code, self.headers)


def error_body(message: str, *, kind: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Return OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def unknown_model(name: str, models: Sequence[str]) -> ApiError:
    """Return the 404 error for a model that is not served, with the served names."""
    hint = suggestion(name, models)
    message = f"the model '{name[:100]}' is not served here. {hint + ' ' if hint else ''}Served models: {', '.join(models)}."
    return ApiError(404, message, code="model_not_found", param="model")


def from_exception(error: Exception) -> ApiError:
    """Convert an error of a handler or an engine to an API error; details of an unexpected one are logged and not sent to the client."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, UsageError):
        return ApiError(400, str(error), param=error.where if error.where.isidentifier() else None)
    if isinstance(error, SwiftError):
        return ApiError(500, str(error), kind="server_error")
    log.error("request failed", exc_info=error)
    return ApiError(500, "internal server error; see the server's log", kind="server_error")


class UnexpectedErrors:
    """ASGI middleware that answers an unexpected exception with status 500.

    Starlette's own handler of `Exception` runs outside all middleware: its responses have no CORS headers, so web pages can't read them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; if it fails before its response has begun, send the error."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            await from_exception(error).response()(scope, receive, send)


def install(app: FastAPI) -> None:
    """Add exception handlers, so that every error response of the app has OpenAI's format."""

    async def any_error(_: Request, error: Exception) -> JSONResponse:
        return from_exception(error).response()

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return _validation(error).response()

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        unread = error.status_code == 400  # FastAPI could not parse the body and gives no detail
        return ApiError(error.status_code, _INVALID_JSON if unread else str(error.detail), headers=error.headers).response()

    for kind in (ApiError, SwiftError):
        app.add_exception_handler(kind, any_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_middleware(UnexpectedErrors)


def _validation(error: RequestValidationError) -> ApiError:
    """Convert a validation error to an API error with field and message. The value is not repeated: it may be private."""
    faults = [(_place(fault["loc"], error.body, missing=fault["type"] == "missing"), fault) for fault in error.errors()]
    # A union type has one error per member: report the most deeply nested one, preferring errors other than type mismatches.
    path, first = max(faults, key=lambda pair: (len(pair[0]), not pair[1]["type"].endswith("_type")))
    if first["type"] == "json_invalid":
        return ApiError(400, _INVALID_JSON)
    if first["type"] == "missing" and error.body is None:
        return ApiError(400, "the request body is empty; it must be a JSON object")
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"unrecognized request argument: {path[-1]}", param=path[-1])
    if not path and first["type"] == "model_attributes_type":  # FastAPI's error if it read the body as text
        return ApiError(400, "the request body must be a JSON object, sent with Content-Type: application/json")
    message = str(first["msg"]).removeprefix("Value error, ")
    param = ".".join(path) or None
    return ApiError(400, f"{param}: {message}" if param else message, param=param)


def _place(path: Sequence[str | int], body: Any, *, missing: bool) -> list[str]:
    """Return the path of an error without the names that pydantic adds for union members; its last part is the field that is `missing`."""
    parts = [part for part in path if part != "body"]
    place: list[str] = []
    for number, part in enumerate(parts):
        inside = part in body if isinstance(body, Mapping) else isinstance(body, list) and isinstance(part, int) and part < len(body)
        if inside:
            body = body[part]
        if inside or (missing and number == len(parts) - 1):
            place.append(str(part))
    return place
