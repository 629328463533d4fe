"""The answers, in the very shape OpenAI's API gives them."""

from __future__ import annotations

import math
import secrets
import struct
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from swift_http.engine import Piece, Token
from swift_http.tools import CallFilter, ToolParser

_LOWEST = -9999.0  # JSON has no minus infinity; OpenAI writes this


@dataclass(slots=True)
class Choice:
    """An answer that is being put together from its pieces."""

    text: str = ""
    tokens: list[Token] = field(default_factory=list)
    finish: str | None = None

    def add(self, piece: Piece) -> None:
        """Append a piece."""
        self.text += piece.text
        self.tokens += piece.tokens
        self.finish = piece.finish or self.finish


class Form(Protocol):
    """One of the two shapes."""

    def opening(self, index: int) -> dict[str, Any] | None:
        """The chunk that opens a stream's choice, if the shape has one."""
        ...

    def chunk(self, index: int, piece: Piece) -> dict[str, Any] | None:
        """A piece of a stream; None: there is nothing to say yet."""
        ...

    def last(self, usage: dict[str, int]) -> dict[str, Any]:
        """The chunk with the token counts."""
        ...

    def whole(self, choices: Sequence[Choice], usage: dict[str, int]) -> dict[str, Any]:
        """The answer in one."""
        ...


class _Base:
    def __init__(self, model: str, prefix: str, kind: str, chunk_kind: str) -> None:
        self._common = {"id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time.time()), "model": model, "system_fingerprint": None}
        self._kind = kind
        self._chunk_kind = chunk_kind

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {**self._common, "object": self._chunk_kind, "choices": choices, **more}

    def last(self, usage: dict[str, int]) -> dict[str, Any]:
        """The chunk with the token counts."""
        return self._chunk([], usage=usage)


class ChatForm(_Base):
    """chat.completion and chat.completion.chunk. With a parser, calls are taken out of the text; in a stream they come at its end."""

    def __init__(self, model: str, *, logprobs: bool, parser: ToolParser | None = None) -> None:
        super().__init__(model, "chatcmpl", "chat.completion", "chat.completion.chunk")
        self._logprobs = logprobs
        self._parser = parser
        self._filters: dict[int, CallFilter] = {}

    def opening(self, index: int) -> dict[str, Any] | None:
        """The chunk with the role."""
        return self._chunk([{"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}])

    def chunk(self, index: int, piece: Piece) -> dict[str, Any] | None:
        """Some more of the message."""
        text, calls = piece.text, []
        if self._parser:
            held = self._filters.setdefault(index, CallFilter(self._parser))
            text = held.push(piece.text)
            if piece.finish:
                rest, calls = held.finish()
                text += rest
        if not (text or piece.finish or (self._logprobs and piece.tokens)):
            return None
        delta: dict[str, Any] = {"content": text} if text else {}
        if calls:
            delta["tool_calls"] = [{"index": number, **call.form()} for number, call in enumerate(calls)]
        finish = "tool_calls" if calls else piece.finish
        return self._chunk([{"index": index, "delta": delta, "logprobs": self._content(piece.tokens), "finish_reason": finish}])

    def whole(self, choices: Sequence[Choice], usage: dict[str, int]) -> dict[str, Any]:
        """The messages."""
        listed = [self._choice(index, choice) for index, choice in enumerate(choices)]
        return {**self._common, "object": self._kind, "choices": listed, "usage": usage}

    def _choice(self, index: int, choice: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
        finish = choice.finish
        if self._parser:
            held = CallFilter(self._parser)
            text = held.push(choice.text)
            rest, calls = held.finish()
            if calls:
                finish = "tool_calls"
                message |= {"content": (text + rest).strip() or None, "tool_calls": [call.form() for call in calls]}
        return {"index": index, "message": message, "logprobs": self._content(choice.tokens), "finish_reason": finish}

    def _content(self, tokens: Sequence[Token]) -> dict[str, Any] | None:
        if not self._logprobs:
            return None
        entries = [
            {**_entry(token.text, token.logprob), "top_logprobs": [_entry(text, value) for text, value in token.top]} for token in tokens
        ]
        return {"content": entries, "refusal": None}


class CompletionForm(_Base):
    """text_completion, whole and in chunks."""

    def __init__(self, model: str, *, logprobs: bool) -> None:
        super().__init__(model, "cmpl", "text_completion", "text_completion")
        self._logprobs = logprobs
        self._offsets: dict[int, int] = {}  # characters of a choice that were sent

    def opening(self, index: int) -> dict[str, Any] | None:
        """None: completions open with their first text."""
        return None

    def chunk(self, index: int, piece: Piece) -> dict[str, Any] | None:
        """Some more of the text."""
        if not (piece.text or piece.finish or (self._logprobs and piece.tokens)):
            return None
        return self._chunk([self._choice(index, piece.text, piece.tokens, piece.finish)])

    def whole(self, choices: Sequence[Choice], usage: dict[str, int]) -> dict[str, Any]:
        """The texts."""
        listed = [self._choice(index, choice.text, choice.tokens, choice.finish) for index, choice in enumerate(choices)]
        return {**self._common, "object": self._kind, "choices": listed, "usage": usage}

    def _choice(self, index: int, text: str, tokens: Sequence[Token], finish: str | None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": self._lists(index, tokens), "finish_reason": finish}

    def _lists(self, index: int, tokens: Sequence[Token]) -> dict[str, Any] | None:
        if not self._logprobs:
            return None
        offsets = []
        for token in tokens:
            offsets.append(self._offsets.get(index, 0))
            self._offsets[index] = offsets[-1] + len(token.text)
        return {
            "tokens": [token.text for token in tokens],
            "token_logprobs": [_finite(token.logprob) for token in tokens],
            "top_logprobs": [{text: _finite(value) for text, value in token.top} or None for token in tokens],
            "text_offset": offsets,
        }


def usage(prompt: int, completion: int) -> dict[str, int]:
    """The token counts of a request."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def embeddings(vectors: Sequence[Sequence[float]], model: str, tokens: int, *, base64: bool) -> dict[str, Any]:
    """The answer of POST /v1/embeddings; `base64` packs each vector as little-endian float32, which is what `openai` asks for."""
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if base64 else list(vector)}
        for index, vector in enumerate(vectors)
    ]
    return {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def _packed(vector: Sequence[float]) -> str:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def model_list(models: Sequence[str], created: int) -> dict[str, Any]:
    """The answer of GET /v1/models: the base, and adapters with the base as their parent."""
    return {"object": "list", "data": [model_entry(name, models, created) for name in models]}


def model_entry(name: str, models: Sequence[str], created: int) -> dict[str, Any]:
    """One served model."""
    parent = None if name == models[0] else models[0]
    return {"id": name, "object": "model", "created": created, "owned_by": "swift-core", "root": models[0], "parent": parent}


def _entry(text: str, logprob: float | None) -> dict[str, Any]:
    return {"token": text, "logprob": _finite(logprob), "bytes": list(text.encode("utf-8", "replace"))}


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else _LOWEST
