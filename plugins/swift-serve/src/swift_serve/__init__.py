"""Servers and their clients: the verbs serve, ask and infer, and what talks to a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swift_core.contract import Server


def chat(server: Server | str, messages: Sequence[Mapping[str, Any]], *, model: str = "", **sampling: Any) -> str:
    """Return the answer of a server to a conversation.

    Args:
        server: a running server, or its URL, which ends in /v1. `Server.at(url, api_key=…)` is one with an API key.
        messages: the conversation, in OpenAI's format.
        model: model name on the server; its first one by default.
        sampling: further fields of the request, such as `temperature`.

    Raises:
        SwiftError: the connection was refused or lost, or the server failed.
        UsageError: the server rejects the request.
    """
    from swift_core.contract import Server
    from swift_serve.client import Client

    return Client(Server.at(server) if isinstance(server, str) else server).complete(messages, model=model, **sampling)
