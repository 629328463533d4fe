"""A fake engine for tests: it speaks the OpenAI protocol without a model and returns the answers that the test sets.

Standard library only. To simulate refusals and faults of a real engine, use its base class `ScriptedServer` with a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any

from swift_core.contract import Server
from swift_testing.scripted import Request, ScriptedServer, events, reply

Messages = Sequence[Mapping[str, Any]]
Answer = str | Callable[[Messages], str]


class FakeEngine(ScriptedServer):
    """Serves the routes for models, chat, completions (also streamed) and tokenization (one token per character).

    Args:
        answers: returned in turn, the last one repeatedly; a function is called with the messages.
        models: the names of the models that it serves.
        api_key: if given, requests without it are refused.

    The attribute `seen` records every request.
    """

    def __init__(self, *answers: Answer, models: Sequence[str] = ("fake",), api_key: str | None = None) -> None:
        super().__init__()
        self.answers: list[Answer] = list(answers) or ["Hello."]
        self.models = list(models)
        self.api_key = api_key
        self.answer = self._answer

    @property
    def as_server(self) -> Server:
        """The `Server` to pass to evaluators and clients."""
        return Server(self.url, tuple(self.models), self.api_key)

    @property
    def asked(self) -> list[str]:
        """The last message of every chat request, in order."""
        return [request["body"]["messages"][-1]["content"] for request in self.seen if request["path"].endswith("/chat/completions")]

    def _answer(self, handler: Request) -> None:
        request = handler.asked
        path, body = request["path"].removeprefix("/v1"), request["body"] or {}
        if path == "/health":
            reply(handler, 200, {})
        elif self.api_key and request["key"] != f"Bearer {self.api_key}":
            _refuse(handler, 401, "invalid API key")
        elif path == "/models":
            reply(handler, 200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})
        elif path == "/tokenize":
            text = body.get("prompt") or "".join(f"{turn['role']}: {turn['content']}\n" for turn in body.get("messages", ()))
            reply(handler, 200, {"tokens": [ord(character) for character in text], "count": len(text)})
        elif path not in ("/chat/completions", "/completions"):
            _refuse(handler, 404, f"there is no route {path}")
        elif body.get("model") not in self.models:
            _refuse(handler, 404, f"there is no model '{body.get('model')}'")
        else:
            self._complete(handler, body, chat=path == "/chat/completions")

    def _complete(self, handler: BaseHTTPRequestHandler, body: Mapping[str, Any], *, chat: bool) -> None:
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
        output = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        prompt = sum(len(str(message["content"])) for message in messages)
        usage = {"prompt_tokens": prompt, "completion_tokens": len(text), "total_tokens": prompt + len(text)}
        reply(handler, 200, {**shared, "object": kind, "choices": [{"index": 0, "finish_reason": "stop", **output}], "usage": usage})


def _words(text: str) -> list[str]:
    """Split the text into words that join to the text again."""
    words = text.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])]


def _refuse(handler: BaseHTTPRequestHandler, status: int, message: str) -> None:
    reply(handler, status, {"error": {"message": message, "type": "invalid_request_error", "code": status}})
