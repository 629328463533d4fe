"""Servers and their clients: the verbs serve, ask and infer, and what talks to a server."""

from __future__ import annotations

from typing import Any


def chat(url: str, messages: list[dict[str, Any]], *, model: str = "", api_key: str | None = None, **sampling: Any) -> str:
    """Return one answer of the server at `url`.

    Args:
        url: address of the API, ending in /v1.
        messages: the conversation, in OpenAI's format.
        model: model name on the server; its first one by default.
        api_key: the server's API key.
        sampling: further fields of the request, such as `temperature`.

    Raises:
        SwiftError: the server cannot be reached, or refuses the request.
    """
    from swift_serve import client

    return client.complete(url, messages, model=model or client.models(url, api_key)[0], api_key=api_key, **sampling)
