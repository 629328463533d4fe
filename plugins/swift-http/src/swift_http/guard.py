"""What stands before every handler: the API key, and the size and pace of the body. Plain ASGI, so that streams pass untouched."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import socket

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swift_http.errors import ApiError

OPEN_PATHS = frozenset({"/health"})
_LOCAL = (".localhost", ".local", ".internal", ".lan")


class Guard:
    """Refuses requests without the key (401), bodies over `max_body` bytes (413), declared or not, and those slower than `slow` s (408).

    Without a key, those that call this machine by a name of the internet's (403): a web page may give its own name this machine's address,
    and then read the answers.
    """

    def __init__(self, app: ASGIApp, *, api_key: str | None, max_body: int, slow: float) -> None:
        self._app = app
        self._expected = api_key.encode() if api_key else None
        self._max_body = max_body
        self._slow = slow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["path"], headers)
        if refusal:
            await refusal.response()(scope, receive, send)
            return
        await self._app(scope, self._counted(receive), send)

    def _refusal(self, path: str, headers: Headers) -> ApiError | None:
        if self._expected and path not in OPEN_PATHS:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if not hmac.compare_digest(given.strip().encode(), self._expected) or scheme.lower() != "bearer":
                return ApiError(401, "missing or wrong API key", code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        if not self._expected and not _is_local(headers.get("host", "")):
            message = "without an API key this server answers at its address or a local name alone; start it with one (SWIFT_API_KEY)"
            return ApiError(403, message, code="host_not_allowed")
        length = headers.get("content-length", "")
        return self._too_large() if length.isdigit() and int(length) > self._max_body else None

    def _counted(self, receive: Receive) -> Receive:
        received = 0
        whole = False
        until = asyncio.get_running_loop().time() + self._slow

        async def counted() -> Message:
            nonlocal received, whole
            try:
                async with asyncio.timeout_at(None if whole else until):
                    message = await receive()
            except TimeoutError:
                raise ApiError(408, "the request did not come in time", code="request_timeout", headers={"Connection": "close"}) from None
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if received > self._max_body:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> ApiError:
        return ApiError(
            413, f"the request is larger than {self._max_body} bytes", code="request_too_large", headers={"Connection": "close"}
        )


def _is_local(host: str) -> bool:
    """Whether a Host header is an address, this machine's name, or a name that is none of the internet's."""
    name = (host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]).rstrip(".").lower()
    if "." not in name or name.endswith(_LOCAL) or name == socket.gethostname().lower():
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
