"""Chat with running servers: the page forwards requests, so that the browser connects to no other address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute
from swift_serve.client import Client

from swift_core.contract import Server, SwiftError, UsageError
from swift_plugin_web import running
from swift_plugin_web.drawing import draw
from swift_plugin_web.requests import gets, posts, site_of

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request

    from swift_plugin_web.site import Site

RATINGS = "ratings.jsonl"
_MOST_MESSAGES, _MOST_ROW = 200, 200_000
_IMAGES = ("data:image/png;base64,", "data:image/jpeg;base64,", "data:image/webp;base64,")
_ROLES = ("system", "user", "assistant")


def routes() -> list[BaseRoute]:
    """Return the routes of the chat."""
    return [gets("/chat", _page), posts("/chat/answer", _answer, changes=False), posts("/chat/rate", _rate)]


async def _page(request: Request) -> Response:
    choices = await run_in_threadpool(_choices, site_of(request))
    return draw(request, "chat.html", choices=sorted(choices))


async def _answer(request: Request, form: FormData) -> Response:
    asked = _parsed(form, "request")
    server, model = (await run_in_threadpool(_choices, site_of(request))).get(str(asked.get("choice")), (None, ""))
    if server is None:
        raise UsageError("this server is no longer running", code="WEB-008", hint="Reload the page.")
    messages = checked_messages(asked.get("messages"))
    try:
        sampling: dict[str, Any] = {
            "temperature": min(2.0, max(0.0, float(asked.get("temperature", 0.7)))),
            "top_p": min(1.0, max(0.01, float(asked.get("top_p", 0.95)))),
            "max_tokens": min(8192, max(1, int(asked.get("max_tokens", 256)))),
        }
    except (TypeError, ValueError):
        raise UsageError("temperature, top-p and maximum tokens must be numbers", code="WEB-009") from None

    def pieces() -> Iterator[str]:
        try:
            yield from Client(server).chat(messages, model=model, **sampling)
        except SwiftError as error:
            yield f"\n[{error.message}]"

    return StreamingResponse(pieces(), media_type="text/plain; charset=utf-8")


async def _rate(request: Request, form: FormData) -> Response:
    row = _parsed(form, "row")
    prompt = checked_messages(row.get("prompt"))
    written = {
        "prompt": prompt,
        "chosen": [{"role": "assistant", "content": str(row.get("chosen", ""))}],
        "rejected": [{"role": "assistant", "content": str(row.get("rejected", ""))}],
    }
    line = json.dumps(written, ensure_ascii=False) + "\n"
    if len(line) > _MOST_ROW:
        raise UsageError("the conversation is too long for a preference row", code="WEB-010")
    with (site_of(request).folders[0] / RATINGS).open("a", encoding="utf-8") as file:
        file.write(line)
    return JSONResponse({"file": RATINGS})


def checked_messages(given: Any) -> list[dict[str, Any]]:
    """Return messages with known roles, and text or images as content.

    Raises:
        UsageError: something else is in them, such as the address of an image, which the server would fetch.
    """
    if not isinstance(given, list) or not 0 < len(given) <= _MOST_MESSAGES:
        raise UsageError("no messages", code="WEB-011")
    found = []
    for message in given:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        if role not in _ROLES or not all(_is_part(part) for part in parts):
            raise UsageError("a message has a role, and text or an image", code="WEB-012")
        found.append({"role": role, "content": content})
    return found


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    if part.get("type") == "image_url" and isinstance(part.get("image_url"), dict):
        return str(part["image_url"].get("url", "")).startswith(_IMAGES)
    return part.get("type") == "text" and isinstance(part.get("text"), str)


def _choices(site: Site) -> dict[str, tuple[Server, str]]:
    """Return every model of every server, by a name for display."""
    found = {}
    for run, server in running.servers(site.runs).items():
        for model in server.models:
            found[f"{model} ({run})"] = (server, model)
    return found


def _parsed(form: FormData, name: str) -> dict[str, Any]:
    try:
        value = json.loads(str(form.get(name) or ""))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UsageError("not JSON", code="WEB-013")
    return value
