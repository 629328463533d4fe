"""A client of an OpenAI-compatible server, whichever engine runs it.

from swift_core.contract import Server
from swift_serve.client import Client

client = Client(Server.at("http://127.0.0.1:8000/v1"))
for piece in client.chat([{"role": "user", "content": "Hello"}], temperature=0):
    print(piece, end="")
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from swift_core.contract import Server, SwiftError, UsageError, suggestion
from swift_serve import transport
from swift_serve.transport import Failed, Refused, wait_ready

if TYPE_CHECKING:
    import httpx2

__all__ = ["Client", "Failed", "Messages", "Refused", "wait_ready"]

Messages = Sequence[Mapping[str, Any]]


class Client:
    """Sends requests to `server`. Safe to use in several threads.

    Every method raises SwiftError if the connection is refused or lost or the server fails, and UsageError if the API key is wrong or the
    server rejects the request (`Refused`).
    """

    def __init__(self, server: Server) -> None:
        self.server = server

    @cached_property
    def model(self) -> str:
        """The model that requests name by default: the first of `server.models`, or of those that the server lists."""
        return (self.server.models or self.models())[0]

    def models(self) -> list[str]:
        """Return the model names that the server lists, the base model first."""
        with self._request("GET", "/models") as response:
            return [str(entry["id"]) for entry in transport.json_of(response, self.server.url)["data"]]

    def chat(self, messages: Messages, *, model: str = "", **sampling: Any) -> Iterator[str]:
        """Yield the answer to a conversation piece by piece, as the server streams it.

        Args:
            messages: the conversation, in OpenAI's format.
            model: a model name of the server; `self.model` by default.
            sampling: further fields of the request (max_tokens, temperature, seed, …).
        """
        body = {"model": model or self.model, "messages": list(messages), "stream": True, **sampling}
        with self._request("POST", "/chat/completions", body) as response:
            yield from self._pieces(response)

    def complete(self, messages: Messages, *, model: str = "", **sampling: Any) -> str:
        """Return the whole answer to a conversation, requested without streaming; arguments are those of `chat`."""
        body = {"model": model or self.model, "messages": list(messages), "stream": False, **sampling}
        return str(self.post("/chat/completions", body)["choices"][0]["message"]["content"] or "")

    def tokenize(self, messages: Messages, *, model: str = "", **fields: Any) -> list[int]:
        """Return the token ids of a conversation that ends with the prompt for an answer (`POST /tokenize`).

        Args:
            messages: the conversation, in OpenAI's format.
            model: a model name of the server; `self.model` by default.
            fields: further fields of the request (tools, chat_template_kwargs).

        Raises:
            Refused: the server does not tokenize conversations.
        """
        body = {"model": model or self.model, "messages": list(messages), "add_generation_prompt": True, "add_special_tokens": False}
        try:
            return [int(token) for token in self.post("../tokenize", {**body, **fields})["tokens"]]
        except (KeyError, TypeError):
            raise Refused("the server does not tokenize conversations", code="SERVE-065", where=self.server.url) from None

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST a request and return the JSON body of the response.

        Args:
            path: the route relative to the server's URL; `../tokenize` leads out of /v1.
            body: the JSON body of the request.

        Raises:
            Refused: the server does not support the route, or rejects the request.
            Failed: the server failed.
        """
        with self._request("POST", path, body) as response:
            return transport.json_of(response, self.server.url)

    def command(self, path: str, body: Mapping[str, Any]) -> None:
        """POST a request and ignore the body of the response; arguments and errors are those of `post`."""
        with self._request("POST", path, body) as response:
            response.read()

    def serves(self, path: str) -> bool:
        """Return True if a GET of the route succeeds."""
        try:
            with self._request("GET", path) as response:
                response.read()
                return True
        except SwiftError:
            return False

    def status(self, path: str, body: Any = None) -> int:
        """Return the HTTP status of one request (GET if there is no body), without retries."""
        return transport.status(self.server, "GET" if body is None else "POST", path, body)

    @contextmanager
    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Iterator[httpx2.Response]:
        """Yield the response, as `transport.request`; an unknown model is reported with the names that the server has."""
        try:
            with transport.request(self.server, method, path, body) as response:
                yield response
        except Refused as error:
            if error.status != 404 or not body or "model" not in body or body["model"] in (served := self.models()):
                raise
            hint = f"{suggestion(body['model'], served)} Served: {', '.join(served)}.".strip()
            raise UsageError(
                f"there is no model '{body['model']}' on this server", code="SERVE-066", where=self.server.url, hint=hint
            ) from None

    def _pieces(self, response: httpx2.Response) -> Iterator[str]:
        """Yield the text of a stream of server-sent events."""
        for line in response.iter_lines():
            if not line.startswith("data:"):
                continue
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                return
            chunk = json.loads(data)
            if "error" in chunk:
                message = chunk["error"].get("message", chunk["error"])
                raise SwiftError(f"the server failed: {message}", code="SERVE-067", where=self.server.url, hint="Check the server's log.")
            for choice in chunk["choices"]:
                if text := choice["delta"].get("content"):
                    yield text
        raise transport.lost(self.server.url)
