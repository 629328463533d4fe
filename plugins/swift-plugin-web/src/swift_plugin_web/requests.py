"""Forms as handlers get them: with the CSRF token checked, and not at all if the page is read-only."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from swift_core.contract import SwiftError
from swift_plugin_web.drawing import draw

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request

    from swift_plugin_web.site import Site

Handler = Callable[["Request", "FormData"], Awaitable[Response]]


def site_of(request: Request) -> Site:
    """Return the settings of the page."""
    site: Site = request.app.state.site
    return site


def posts(path: str, handler: Handler, *, changes: bool = True) -> Route:
    """Return the route of a form. Every form goes through here.

    Args:
        path: its address.
        handler: (request, form) -> response.
        changes: whether it changes something, which a read-only page refuses.
    """

    async def endpoint(request: Request) -> Response:
        site = site_of(request)
        if changes and site.read_only:
            return PlainTextResponse("this page is read-only", 403)
        async with request.form(max_files=4, max_fields=1000, max_part_size=2_000_000) as form:
            given = str(form.get("csrf") or request.headers.get("x-csrf") or "")
            if not hmac.compare_digest(given.encode(), site.csrf.encode()):
                return PlainTextResponse("the form has expired: reload the page", 403)
            try:
                return await handler(request, form)
            except SwiftError as error:
                return failed(request, error)

    return Route(path, endpoint, methods=["POST"])


def gets(path: str, handler: Callable[[Request], Awaitable[Response]]) -> Route:
    """Return the route of a page, whose errors are shown on a page."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except SwiftError as error:
            return failed(request, error)

    return Route(path, endpoint, methods=["GET"])


def failed(request: Request, error: SwiftError) -> Response:
    """Return an error as a page, or as JSON to a script."""
    values: dict[str, Any] = {"message": error.message, "hint": error.hint, "where": error.where, "code": error.code}
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"error": values}, 400)
    return draw(request, "error.html", status=400, error=values)
