"""The application: every page behind the guard."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from swift_plugin_web.drawing import draw
from swift_plugin_web.guard import Guard, remember
from swift_plugin_web.handlers import chat, data, forms, machine, runs
from swift_plugin_web.requests import gets, posts, site_of

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request

    from swift_plugin_web.site import Site

_PAUSE = 1.0  # seconds after a wrong password
_STATIC = {"style.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}


def application(site: Site) -> Starlette:
    """Return the ASGI application of a page."""
    routes = [
        Route("/", _home), Route("/static/{name}", _static), gets("/login", _login_page), posts("/login", _login, changes=False),
        *data.routes(), *forms.routes(), *runs.routes(), *chat.routes(), *machine.routes(),
    ]  # fmt: skip
    app = Starlette(routes=routes, middleware=[Middleware(Guard, site=site)])
    app.state.site, app.state.attempts = site, asyncio.Lock()
    return app


async def _home(_: Request) -> Response:
    return RedirectResponse("/data", 303)


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        return Response("not found", 404)
    content = (files("swift_plugin_web") / "static" / name).read_bytes()
    return Response(content, media_type=_STATIC[name], headers={"cache-control": "max-age=3600"})


async def _login_page(request: Request) -> Response:
    return draw(request, "login.html", wrong=False)


async def _login(request: Request, form: FormData) -> Response:
    site = site_of(request)
    async with request.app.state.attempts:  # one at a time, so that passwords can't be tried in bulk
        if not site.admits(str(form.get("password") or "")):
            await asyncio.sleep(_PAUSE)
            return draw(request, "login.html", status=403, wrong=True)
    response = RedirectResponse("/data", 303)
    remember(response, site)
    return response
