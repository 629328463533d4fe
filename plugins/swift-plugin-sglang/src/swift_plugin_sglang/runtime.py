"""Requests to a running SGLang beyond what an OpenAI client has: its own routes are beside /v1, not below it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from swift_core.errors import SwiftError, UsageError
from swift_core.roles import Server

if TYPE_CHECKING:
    import httpx2

SECONDS = 300.0  # an adapter is read from disk, and its first request may compile


def post(server: Server, path: str, body: Mapping[str, Any]) -> Any:
    """The JSON answer to a POST at the root of the server.

    Raises:
        UsageError: the server refuses the request.
        SwiftError: nobody answers, or the server failed.
    """
    import httpx2

    url = server.url.removesuffix("/v1") + path
    headers = {"Authorization": f"Bearer {server.api_key}"} if server.api_key else {}
    try:
        response = httpx2.post(url, json=dict(body), headers=headers, timeout=SECONDS)
    except httpx2.TransportError as error:
        raise SwiftError(f"the server does not answer: {error}", where=url, hint="Is it running? Start it with: swift serve.") from error
    if response.status_code == 200:
        return response.json()
    kind = SwiftError if response.status_code >= 500 else UsageError
    raise kind(f"the server refused: {_message(response)}", where=url, hint="Its log says more.")


def log_probabilities(server: Server, model: str) -> list[float]:
    """Log-probabilities of the first tokens that a model continues a fixed prompt with, greedily."""
    body = {"model": model, "prompt": "The first thing to know is", "max_tokens": 8, "temperature": 0, "logprobs": 1}
    return [float(value) for value in post(server, "/v1/completions", body)["choices"][0]["logprobs"]["token_logprobs"]]


def _message(response: httpx2.Response) -> str:
    """What a refusal says: `error_message` of an adapter route, `message` of an OpenAI one."""
    try:
        body = response.json()
        return str(body.get("error_message") or body["message"])
    except (ValueError, KeyError, AttributeError):
        return response.text[:300]
