"""Events by HTTP: POST one, ask what became of it."""

from __future__ import annotations

import hmac
import json
import socket
import threading
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from swift_http.guard import Guard
from swift_http.server import IdleTimeoutProtocol

from swift_core.contract import SwiftError
from swift_plugin_trigger.definition import HttpSource
from swift_plugin_trigger.delivery import variable
from swift_plugin_trigger.intake import Intake, InvalidEvent

_BODY_TIMEOUT = 30.0


def create_app(source: HttpSource, intake: Intake) -> Starlette:
    """Return the ASGI application.

    POST PATH gives 202 for a new event, 200 for one that is known, 409 for another event with the same id, 422 for one that is not valid.
    GET PATH/ID gives the states of its messages.
    """
    token = variable(source.token_env)

    async def post(request: Request) -> JSONResponse:
        _admit(request, token)
        try:
            body = json.loads(await request.body())
        except (ValueError, RecursionError):
            return _failed(400, "the body is not JSON")
        try:
            name = intake.name_of(body, request.headers.get("idempotency-key", ""))
        except InvalidEvent as error:
            return _failed(422, error.message, error.where)
        added = await run_in_threadpool(intake.take, body, name, "http")
        if added == "different":
            return _failed(409, f"another event has the id '{name}'", "id")
        return JSONResponse(_shown(intake, name), 202 if added == "new" else 200)

    async def get(request: Request) -> JSONResponse:
        _admit(request, token)
        name = request.path_params["name"]
        if await run_in_threadpool(intake.store.event, name) is None:
            return _failed(404, "there is no such event")
        return JSONResponse(await run_in_threadpool(_shown, intake, name))

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok", "open": await run_in_threadpool(intake.store.open)})

    async def fault(_: Request, error: Exception) -> JSONResponse:
        if isinstance(error, HTTPException):
            return _failed(error.status_code, str(error.detail))
        return _failed(503, str(error)) if isinstance(error, SwiftError) else _failed(500, "internal error")

    routes = [
        Route(source.path, post, methods=["POST"]), Route(f"{source.path}/{{name}}", get, methods=["GET"]),
        Route("/health", health, methods=["GET"]),
    ]  # fmt: skip
    # without a token only names of this machine are answered (DNS rebinding); the token is checked here, so that /health needs none
    guard = Middleware(Guard, api_key=None, max_body_bytes=source.max_bytes, body_timeout=_BODY_TIMEOUT, any_host=bool(token))
    return Starlette(routes=routes, middleware=[guard], exception_handlers={HTTPException: fault, SwiftError: fault, Exception: fault})


class Listener:
    """The HTTP server, in a thread of its own."""

    def __init__(self, source: HttpSource, intake: Intake, bound: socket.socket) -> None:
        """Prepare to serve on a bound socket."""
        config = uvicorn.Config(
            create_app(source, intake), http=IdleTimeoutProtocol, log_level="warning", access_log=False, server_header=False,
            timeout_graceful_shutdown=5, lifespan="off",
        )  # fmt: skip
        self._server, self._bound = uvicorn.Server(config), bound
        self._thread = threading.Thread(target=self._server.run, args=([bound],), name="events", daemon=True)

    def __enter__(self) -> Listener:
        """Start listening."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Answer what has arrived, and stop."""
        self._server.should_exit = True
        self._thread.join(10)
        self._bound.close()


def _admit(request: Request, token: str) -> None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if token and (scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode())):
        raise HTTPException(401, "missing or wrong token", {"WWW-Authenticate": "Bearer"})


def _shown(intake: Intake, name: str) -> dict[str, Any]:
    event = intake.store.event(name)
    messages = {message.id: message.state for message in intake.store.messages(name)}
    return {"id": name, "state": event.state if event else "", "messages": messages}


def _failed(status: int, message: str, where: str = "") -> JSONResponse:
    return JSONResponse({"error": {"message": message, "param": where or None}}, status)
