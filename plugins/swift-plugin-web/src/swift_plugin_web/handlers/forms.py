"""The forms: train, evaluate, merge, quantize, export, serve. They are checked while they are filled in, and started as commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute

from swift_core.contract import UsageError
from swift_plugin_web import jobs
from swift_plugin_web.drafts import drafted
from swift_plugin_web.drawing import draw
from swift_plugin_web.forms import PAGE_VERBS, form_of, training_verbs, verb_of_page
from swift_plugin_web.requests import gets, posts, site_of

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request

_OWN = ("csrf", "verb")


def routes() -> list[BaseRoute]:
    """Return the routes of every form."""
    found: list[BaseRoute] = []
    for page in ("train", *PAGE_VERBS):
        found += [gets(f"/{page}", _page), posts(f"/{page}/check", _check, changes=False), posts(f"/{page}/start", _start)]
    return found


async def _page(request: Request) -> Response:
    page = request.url.path.strip("/")
    verb = verb_of_page(page, request.query_params.get("task", ""))
    values = {name: value for name, value in request.query_params.items() if name not in ("task", "lang")}
    form = await run_in_threadpool(form_of, verb, values)
    return draw(request, "form.html", page=page, form=form, tasks=training_verbs() if page == "train" else [])


async def _check(request: Request, form: FormData) -> Response:
    verb, values = _filled(request, form)
    draft = await run_in_threadpool(drafted, verb, values, site_of(request).folders)
    return JSONResponse(draft.to_json())


async def _start(request: Request, form: FormData) -> Response:
    site = site_of(request)
    verb, values = _filled(request, form)
    draft = await run_in_threadpool(drafted, verb, values, site.folders)
    if draft.faults:
        first = draft.faults[0]
        raise UsageError(first.message, code=first.code, where=first.path, hint=first.hint)
    await run_in_threadpool(jobs.start, site, verb.name, draft.values)
    return RedirectResponse("/runs", 303)


def _filled(request: Request, form: FormData) -> tuple[Any, Mapping[str, str]]:
    page = request.url.path.split("/")[1]
    verb = verb_of_page(page, str(form.get("verb") or ""))
    return verb, {name: value for name, value in form.items() if name not in _OWN and isinstance(value, str)}
