"""A server with known answers: right or wrong ones to the questions of the tests, and log-probabilities by a formula."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from swift_testing.fake_engine import FakeEngine
from swift_testing.scripted import Request, reply


def log_probability(character: str, position: int) -> float:
    """Return the log-probability of a token, which is a character, at its position in the prompt."""
    return -((ord(character) * 7 + position * 3) % 50 + 1) / 100


class KnownServer(FakeEngine):
    """Answers by the text of the question.

    Args:
        answers: a part of the question's text → the answer.
        faults: a part of the question's text → `length` (a truncated answer) or `500` (the server fails).
        dies_after: number of answers after which it fails for good; 0: never.
    """

    def __init__(self, answers: Mapping[str, str], faults: Mapping[str, str] | None = None, *, dies_after: int = 0) -> None:
        super().__init__("unused", models=("known",))
        self.known, self.faults, self.dies_after = answers, faults or {}, dies_after
        self.answered: list[str] = []  # the questions, in order
        self.answer = self._reply

    def _reply(self, handler: Request) -> None:
        path, body = handler.asked["path"], handler.asked["body"] or {}
        if path.endswith("/tokenize") and "prompt" in body:
            reply(handler, 200, {"tokens": [ord(character) for character in body["prompt"]], "count": len(body["prompt"])})
        elif path.endswith("/chat/completions"):
            self._chat(handler, body)
        elif path.endswith("/completions"):
            reply(handler, 200, self._echo(body))
        else:
            self._answer(handler)

    def _chat(self, handler: Request, body: dict[str, Any]) -> None:
        text = json.dumps(body["messages"], ensure_ascii=False)
        question = next((part for part in self.known if part in text), "")
        fault = next((fault for part, fault in self.faults.items() if part in text), "")
        if fault == "500" or not question or (self.dies_after and len(self.answered) >= self.dies_after):
            reply(handler, 500, {"error": {"message": "out of order" if question else f"unknown question: {text[:200]}"}})
            return
        self.answered.append(question)
        choice = {"index": 0, "message": {"role": "assistant", "content": self.known[question]}, "finish_reason": fault or "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        reply(handler, 200, {"id": "1", "object": "chat.completion", "created": 0, "model": "known", "choices": [choice], "usage": usage})

    def _echo(self, body: dict[str, Any]) -> dict[str, Any]:
        text = "".join(map(chr, body["prompt"]))
        self.answered.append(text)
        values = [None, *(log_probability(character, number) for number, character in enumerate(text) if number), -9.0]
        tops = [None if value is None else {"likely": max(value, -0.02)} for value in values]
        logprobs = {"tokens": [*text, "?"], "token_logprobs": values, "top_logprobs": tops, "text_offset": []}
        return {"choices": [{"index": 0, "text": f"{text}?", "logprobs": logprobs, "finish_reason": "length"}]}
