"""An engine for tests that speaks the OpenAI protocol and has no model: it gives the answers that a test has put into it.

Standard library alone. For what a real engine would refuse or break, `ScriptedServer` (its base) answers whatever a function says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any

from swift_core.contract.roles import Server
from swift_testing.scripted import Request, ScriptedServer, events, reply

Messages = Sequence[Mapping[str, Any]]
Answer = str | Callable[[Messages], str]


class FakeEngine(ScriptedServer):
    """Lists models, chats, completes, streams and tokenizes (a token a character).

    `answers` are given in turn, the last one for good; one that is a function is called with the messages. `models` are the names it
    knows. With `api_key`, requests without it are refused. `seen` keeps every request.
    """

    def __init__(self, *answers: Answer, models: Sequence[str] = ("fake",), api_key: str | None = None) -> None:
        super().__init__()
        self.answers: list[Answer] = list(answers) or ["Hello."]
        self.models = list(models)
        self.api_key = api_key
        self.answer = self._answer

    @property
    def as_server(self) -> Server:
        """It, as evaluators and clients are given a server."""
        return Server(self.url, tuple(self.models), self.api_key)

    @property
    def asked(self) -> list[str]:
        """The last message of every chat, in order."""
        return [request["body"]["messages"][-1]["content"] for request in self.seen if request["path"].endswith("/chat/completions")]

    def _answer(self, handler: Request) -> None:
        request = handler.asked
        path, body = request["path"].removeprefix("/v1"), request["body"] or {}
        if path == "/health":
            reply(handler, 200, {})
        elif self.api_key and request["key"] != f"Bearer {self.api_key}":
            _refuse(handler, 401, "a wrong API key")
        elif path == "/models":
            reply(handler, 200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})
        elif path == "/tokenize":
            text = body.get("prompt") or "".join(f"{turn['role']}: {turn['content']}\n" for turn in body.get("messages", ()))
            reply(handler, 200, {"tokens": [ord(sign) for sign in text], "count": len(text)})
        elif path not in ("/chat/completions", "/completions"):
            _refuse(handler, 404, f"there is no route {path}")
        elif body.get("model") not in self.models:
            _refuse(handler, 404, f"there is no model '{body.get('model')}'")
        else:
            self._say(handler, body, chat=path == "/chat/completions")

    def _say(self, handler: BaseHTTPRequestHandler, body: Mapping[str, Any], *, chat: bool) -> None:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        messages = body["messages"] if chat else [{"role": "user", "content": body["prompt"]}]
        text = answer if isinstance(answer, str) else answer(messages)
        kind = "chat.completion" if chat else "text_completion"
        shared = {"id": f"fake-{len(self.seen)}", "created": 0, "model": body["model"]}
        if body.get("stream"):
            pieces: list[dict[str, Any]] = [{"delta": {"content": word}} if chat else {"text": word} for word in _words(text)]
            pieces.append({"delta": {}} if chat else {"text": ""})
            chunks = [{**shared, "object": f"{kind}.chunk", "choices": [{"index": 0, "finish_reason": None, **piece}]} for piece in pieces]
            chunks[-1]["choices"][0]["finish_reason"] = "stop"
            reply(handler, 200, events(*chunks), content_type="text/event-stream")
            return
        said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        asked = sum(len(str(message["content"])) for message in messages)
        usage = {"prompt_tokens": asked, "completion_tokens": len(text), "total_tokens": asked + len(text)}
        reply(handler, 200, {**shared, "object": kind, "choices": [{"index": 0, "finish_reason": "stop", **said}], "usage": usage})


def _words(text: str) -> list[str]:
    """Pieces that give the text when put together, a word each."""
    words = text.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])]


def _refuse(handler: BaseHTTPRequestHandler, status: int, message: str) -> None:
    reply(handler, status, {"error": {"message": message, "type": "invalid_request_error", "code": status}})
