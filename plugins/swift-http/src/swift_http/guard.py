"""ASGI middleware that checks the API key, the Host header, and the size and arrival time of the body. It buffers nothing."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import socket

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swift_http.errors import ApiError

PUBLIC_PATHS = frozenset({"/health"})
_LOCAL = (".localhost", ".local", ".internal", ".lan")


class Guard:
    """Rejects requests without the API key (401), with a body over `max_body_bytes` (413) or one that takes over `body_timeout` s (408).

    Without an API key it rejects requests whose Host header is a public name (403), as a protection against DNS rebinding: a web page could
    resolve its own name to this machine's address and read the responses. `any_host` turns this off, for an app that checks keys itself.
    """

    def __init__(self, app: ASGIApp, *, api_key: str | None, max_body_bytes: int, body_timeout: float, any_host: bool = False) -> None:
        self._app = app
        self._any_host = any_host
        self._expected = api_key.encode() if api_key else None
        self._max_body_bytes = max_body_bytes
        self._body_timeout = body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject the request or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        rejection = self._rejection(scope["path"], headers)
        if rejection:
            await rejection.response()(scope, receive, send)
            return
        await self._app(scope, self._limited(receive), send)

    def _rejection(self, path: str, headers: Headers) -> ApiError | None:
        if self._expected and path not in PUBLIC_PATHS:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if not hmac.compare_digest(given.strip().encode(), self._expected) or scheme.lower() != "bearer":
                return ApiError(401, "missing or invalid API key", code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        if not self._expected and not self._any_host and not _is_local(headers.get("host", "")):
            message = (
                "without an API key this server only accepts an IP address or a local name as host; set SWIFT_API_KEY to use a public name"
            )
            return ApiError(403, message, code="host_not_allowed")
        length = headers.get("content-length", "")
        return self._too_large() if length.isdigit() and int(length) > self._max_body_bytes else None

    def _limited(self, receive: Receive) -> Receive:
        received = 0
        complete = False
        deadline = asyncio.get_running_loop().time() + self._body_timeout

        async def limited() -> Message:
            nonlocal received, complete
            try:
                async with asyncio.timeout_at(None if complete else deadline):
                    message = await receive()
            except TimeoutError:
                raise ApiError(
                    408, "the request body did not arrive in time", code="request_timeout", headers={"Connection": "close"}
                ) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self._max_body_bytes:
                raise self._too_large()
            return message

        return limited

    def _too_slow(self) -> ApiError:
        message = f"the request body did not arrive within {self._body_timeout:g} seconds"
        return ApiError(408, message, code="request_timeout", headers={"Connection": "close"})

    def _too_large(self) -> ApiError:
        return ApiError(
            413, f"the request body is larger than {self._max_body_bytes} bytes", code="request_too_large", headers={"Connection": "close"}
        )


def _is_local(host: str) -> bool:
    """Return whether a Host header is an IP address, this machine's name, or a name that is not public."""
    name = (host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]).rstrip(".").lower()
    if "." not in name or name.endswith(_LOCAL) or name == socket.gethostname().lower():
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
