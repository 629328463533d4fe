"""Requests to a running vLLM beyond what an OpenAI client has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from swift_core.errors import SwiftError, UsageError
from swift_core.roles import Server

if TYPE_CHECKING:
    import httpx2

SECONDS = 300.0  # an adapter is read from disk, and its first request may compile


def post(server: Server, path: str, body: Mapping[str, Any]) -> Any:
    """The answer to a POST below the server's /v1: its JSON, or its text.

    Raises:
        UsageError: the server has no such route, or refuses the request.
        SwiftError: nobody answers, or the server failed.
    """
    import httpx2

    headers = {"Authorization": f"Bearer {server.api_key}"} if server.api_key else {}
    try:
        response = httpx2.post(server.url + path, json=dict(body), headers=headers, timeout=SECONDS)
    except httpx2.TransportError as error:
        raise SwiftError(
            f"the server does not answer: {error}", where=server.url, hint="Is it running? Start it with: swift serve."
        ) from error
    if response.status_code == 200:
        return response.json() if "json" in response.headers.get("content-type", "") else response.text
    said = _message(response)
    if response.status_code == 404 and said == "Not Found":  # the route, not an adapter, whose name vLLM would say
        raise UsageError(
            "this server's adapters are fixed", where=server.url, hint="Start it with --runtime-adapters to change them while it runs."
        )
    kind = SwiftError if response.status_code >= 500 else UsageError
    raise kind(f"the server refused: {said}", where=server.url + path, hint="Its log says more.")


def log_probabilities(server: Server, model: str) -> list[float]:
    """Log-probabilities of the first tokens that a model continues a fixed prompt with, greedily."""
    body = {"model": model, "prompt": "The first thing to know is", "max_tokens": 8, "temperature": 0, "logprobs": 1}
    return [float(value) for value in post(server, "/completions", body)["choices"][0]["logprobs"]["token_logprobs"]]


def _message(response: httpx2.Response) -> str:
    """What a refusal says: vLLM answers {error: {message}}, or FastAPI's {detail}."""
    try:
        body = response.json()
        error = body.get("error", body.get("detail"))
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, AttributeError):
        return response.text[:300]
