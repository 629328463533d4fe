"""Draw pages from templates. Every value is escaped; texts are in the language of the browser or of `?lang=`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from starlette.responses import HTMLResponse

from swift_core.contract import __version__
from swift_plugin_web.texts import LANGUAGES, text

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

PAGES = ("data", "train", "runs", "chat", "evaluate", "merge", "quantize", "export", "serve", "models", "plugins")
LANGUAGE = "swift-language"


@cache
def _environment() -> Environment:
    def load(name: str) -> str:
        return (files("swift_plugin_web") / "templates" / name).read_text(encoding="utf-8")

    return Environment(loader=FunctionLoader(load), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def draw(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """Return a page."""
    language = language_of(request)
    site = request.app.state.site
    shared = {
        "csrf": site.csrf, "language": language, "languages": LANGUAGES, "path": request.url.path, "pages": PAGES,
        "read_only": site.read_only,
        "say": lambda name, **more: text(name, language, **more), "version": __version__,
    }  # fmt: skip
    response = HTMLResponse(_environment().get_template(template).render(**shared, **values), status)
    if request.query_params.get("lang") in LANGUAGES:
        response.set_cookie(LANGUAGE, language, samesite="strict", max_age=365 * 24 * 3600)
    return response


def language_of(request: Request) -> str:
    """Return the language: of the address, else of the cookie, else of the browser."""
    asked = request.query_params.get("lang") or request.cookies.get(LANGUAGE, "")
    if asked in LANGUAGES:
        return asked
    return "zh" if request.headers.get("accept-language", "").lower().startswith("zh") else "en"
