"""The guard in front of every request, in this order: method, Host, Origin, size, session. Responses get the security headers.

- Host: requests under another name that resolves to this address (DNS rebinding) are refused.
- Origin and Sec-Fetch-Site: other sites can't send forms; the CSRF token in each form is checked by `swift_plugin_web.requests.form_of`.
- The cookie is HttpOnly and SameSite=Strict; the token in the address is exchanged for it, and leaves the address.
"""

from __future__ import annotations

import hmac
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from swift_plugin_web.site import Site

COOKIE = "swift-web"
OPEN = ("/login", "/static/")  # without a session
_METHODS = ("GET", "HEAD", "POST")
_FORM = 2_000_000  # bytes of a form without a file
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "frame-src 'self'; base-uri 'none'; frame-ancestors 'self'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with no-referrer, forms would come from the origin "null"
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self.app, self.site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = self._refused(scope)
        answer: Any = refused or self.app
        await answer(scope, self._bounded(scope, receive), _with_headers(send))

    def _refused(self, scope: Scope) -> Response | None:
        headers, site = Headers(scope=scope), self.site
        if scope["method"] not in _METHODS:
            return PlainTextResponse("method not allowed", 405)
        if headers.get("host", "") not in site.hosts:
            return PlainTextResponse("unknown Host header: start swift web with --name HOST to allow it", 421)
        if scope["method"] == "POST" and not self._same_origin(headers):
            return PlainTextResponse("cross-site request refused", 403)
        if int(headers.get("content-length") or 0) > self._most(headers):
            return PlainTextResponse("the request is too large", 413)
        path = scope["path"]
        if path.startswith(OPEN) or self._known(headers):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if not site.password and scope["method"] == "GET" and site.admits(query.pop("token", [""])[0]):
            rest = urlencode(query, doseq=True)
            response = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
            remember(response, site)
            return response
        if site.password and scope["method"] == "GET":
            return RedirectResponse("/login", 303)
        return PlainTextResponse("not logged in: open the address that swift web printed, with its token", 401)

    def _known(self, headers: Headers) -> bool:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self.site.session.encode())

    def _same_origin(self, headers: Headers) -> bool:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        allowed = {f"{scheme}://{host}" for host in self.site.hosts for scheme in ("http", "https")}
        return (origin is None or origin in allowed) and site in (None, "same-origin", "none")

    def _most(self, headers: Headers) -> int:
        return self.site.max_upload + _FORM if headers.get("content-type", "").startswith("multipart/") else _FORM

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        left = self._most(Headers(scope=scope))

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            return message if left >= 0 else {"type": "http.disconnect"}

        return bounded


def remember(response: Response, site: Site) -> None:
    """Give the browser the cookie of the session."""
    response.set_cookie(COOKIE, site.session, httponly=True, samesite="strict", path="/", max_age=30 * 24 * 3600)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
