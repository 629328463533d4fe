"""The page on the HTTP interface of a backend's engine, from swift_serve.http_routes and the checks of the conformance kit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from swift_serve.http_routes import ROUTES, RULES, Route
from swift_testing.kit.collect import all_checks

_NEEDS = {
    "required": "Every engine has them.",
    "declared": "An engine has them if the backend's spec declares the feature; otherwise it refuses the requests.",
    "probed": "Used if they exist; an engine without them works.",
}


def page(note: str) -> str:
    """Return the page."""
    parts = [
        "# HTTP interface of a backend\n\n",
        note,
        "A backend is a command that starts a server ([`Backend`](hooks/swift_backends.md), [`Serving`, `Command`](api/swift_serve.md)).\n",
        "What the server must answer is a part of [OpenAI's API](https://platform.openai.com/docs/api-reference): `swift serve` calls\n",
        "these routes before it reports the server as ready, and clients afterwards. The URL of a server ends in `/v1`. An engine in\n",
        "Python can be served by `swift_http` ([API](api/swift_http.md)), which has all of them.\n",
        "\n## Rules\n\n| | |\n|---|---|\n",
        *(f"| {name} | {text} |\n" for name, text in RULES.items()),
    ]
    for need, text in _NEEDS.items():
        parts.append(f"\n## Routes: {need}\n\n{text}\n")
        for route in ROUTES:
            if route.need == need:
                parts += _route(route)
    return "".join(parts)


def _route(route: Route) -> Iterator[str]:
    yield f"\n### {route.method} {route.path}\n\n{route.use}\n"
    yield from _fields("Request", route.request)
    yield from _fields("Response", route.response)
    why = {check.name: " ".join(check.why.split()) for check in all_checks()}
    if route.checks:
        yield "\nChecked by `swift plugins check`:\n\n"
        yield from (f"- `{name}`: {why[name]}\n" for name in route.checks)


def _fields(title: str, fields: Mapping[str, str]) -> Iterator[str]:
    if fields:
        yield f"\n| {title} | |\n|---|---|\n"
        yield from (f"| `{name}` | {text} |\n" for name, text in fields.items())
