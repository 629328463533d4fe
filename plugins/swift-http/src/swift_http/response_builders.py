"""Response bodies in the format of OpenAI's API: complete, and as chunks of a stream."""

from __future__ import annotations

import json
import math
import secrets
import struct
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.responses import JSONResponse

from swift_http.engine import Piece, Token
from swift_http.errors import ApiError
from swift_http.tools import Call, ToolCallFilter, ToolParser

_MIN_LOGPROB = -9999.0  # OpenAI's value for minus infinity, which JSON does not have


class Json(JSONResponse):
    """A JSON response. Lone surrogates in generated text are replaced, since they can't be encoded."""

    def render(self, content: Any) -> bytes:
        """Encode the body."""
        return encoded(content)


def encoded(content: Any) -> bytes:
    """Encode a value as UTF-8 JSON."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


@dataclass(slots=True)
class Choice:
    """A completion, accumulated from its pieces."""

    text: str = ""
    tokens: list[Token] = field(default_factory=list)
    finish: str | None = None

    def add(self, piece: Piece) -> None:
        """Append a piece."""
        self.text += piece.text
        self.tokens += piece.tokens
        self.finish = piece.finish or self.finish


class ResponseBuilder(Protocol):
    """Builds the response of one endpoint, either complete or as the events of a stream."""

    terminator: bytes
    """Bytes that end a successful stream."""

    def frame(self, event: dict[str, Any]) -> bytes:
        """Encode an event as a server-sent event."""
        ...

    def failed(self, error: ApiError) -> dict[str, Any]:
        """Return the event that reports a failure during the stream."""
        ...

    def opening(self, index: int) -> list[dict[str, Any]]:
        """Return the events that open a choice."""
        ...

    def chunk(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        """Return the events of a piece; may be empty."""
        ...

    def last(self, usage: dict[str, int]) -> list[dict[str, Any]]:
        """Return the events with the token counts."""
        ...

    def complete(self, choices: Sequence[Choice], usage: dict[str, int]) -> dict[str, Any]:
        """Return the complete response."""
        ...


class _Base:
    terminator = b"data: [DONE]\n\n"

    def frame(self, event: dict[str, Any]) -> bytes:
        """Encode an event as a server-sent event."""
        return b"data: " + encoded(event) + b"\n\n"

    def failed(self, error: ApiError) -> dict[str, Any]:
        """Return the event that reports a failure during the stream."""
        return error.body

    def __init__(self, model: str, prefix: str, kind: str, chunk_kind: str, prompts: Sequence[Sequence[int]] | None) -> None:
        self._prompts = prompts  # token ids of each choice's prompt, if token ids are to be returned
        self._common = {"id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time.time()), "model": model, "system_fingerprint": None}
        self._kind = kind
        self._chunk_kind = chunk_kind

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {**self._common, "object": self._chunk_kind, "choices": choices, **more}

    def _ids(self, tokens: Sequence[Token]) -> dict[str, Any]:
        return {} if self._prompts is None else {"token_ids": [token.id for token in tokens]}

    def last(self, usage: dict[str, int]) -> list[dict[str, Any]]:
        """Return the chunk with the token counts."""
        return [self._chunk([], usage=usage)]


class ChatBuilder(_Base):
    """Builds chat.completion and chat.completion.chunk. With a parser, tool calls are extracted from the text; a stream ends with them.

    With `prompts`, here and in `CompletionBuilder`, the response has the token ids of prompt and completion, in vLLM's fields.
    """

    def __init__(
        self, model: str, *, logprobs: bool, parser: ToolParser | None = None, prompts: Sequence[Sequence[int]] | None = None
    ) -> None:
        super().__init__(model, "chatcmpl", "chat.completion", "chat.completion.chunk", prompts)
        self._logprobs = logprobs
        self._parser = parser
        self._filters: dict[int, ToolCallFilter] = {}

    def opening(self, index: int) -> list[dict[str, Any]]:
        """Return the chunk with the role."""
        delta = {"role": "assistant", "content": ""}
        prompt = {} if self._prompts is None else {"prompt_token_ids": list(self._prompts[0])}
        return [self._chunk([{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}], **prompt)]

    def chunk(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        """Return the chunk of a piece; empty while there is nothing to send."""
        text, calls = piece.text, list[Call]()
        if self._parser:
            call_filter = self._filters.setdefault(index, ToolCallFilter(self._parser))
            text = call_filter.push(piece.text)
            if piece.finish:
                rest, calls = call_filter.finish()
                text += rest
        if not (text or piece.finish or ((self._logprobs or self._prompts is not None) and piece.tokens)):
            return []
        delta: dict[str, Any] = {"content": text} if text else {}
        if calls:
            delta["tool_calls"] = [{"index": number, **call.to_openai()} for number, call in enumerate(calls)]
        finish = "tool_calls" if calls else piece.finish
        ids = self._ids(piece.tokens)
        return [
            self._chunk(
                [{"index": index, "delta": delta, "logprobs": self._logprobs_content(piece.tokens), "finish_reason": finish, **ids}]
            )
        ]

    def complete(self, choices: Sequence[Choice], usage: dict[str, int]) -> dict[str, Any]:
        """Return the chat.completion object."""
        listed = [self._choice(index, choice) for index, choice in enumerate(choices)]
        prompt = {} if self._prompts is None else {"prompt_token_ids": list(self._prompts[0])}
        return {**self._common, "object": self._kind, "choices": listed, "usage": usage, **prompt}

    def _choice(self, index: int, choice: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
        finish = choice.finish
        if self._parser:
            call_filter = ToolCallFilter(self._parser)
            text = call_filter.push(choice.text)
            rest, calls = call_filter.finish()
            if calls:
                finish = "tool_calls"
                message |= {"content": (text + rest).strip() or None, "tool_calls": [call.to_openai() for call in calls]}
        ids = self._ids(choice.tokens)
        return {"index": index, "message": message, "logprobs": self._logprobs_content(choice.tokens), "finish_reason": finish, **ids}

    def _logprobs_content(self, tokens: Sequence[Token]) -> dict[str, Any] | None:
        if not self._logprobs:
            return None
        entries = [
            {**_entry(token.text, token.logprob), "top_logprobs": [_entry(text, value) for text, value in token.top]} for token in tokens
        ]
        return {"content": entries, "refusal": None}


class CompletionBuilder(_Base):
    """Builds text_completion, complete or in chunks."""

    def __init__(self, model: str, *, logprobs: bool, prompts: Sequence[Sequence[int]] | None = None) -> None:
        super().__init__(model, "cmpl", "text_completion", "text_completion", prompts)
        self._logprobs = logprobs
        self._prompt_sent: set[int] = set()  # choices whose prompt token ids were sent
        self._offsets: dict[int, int] = {}  # number of characters sent, by choice

    def opening(self, index: int) -> list[dict[str, Any]]:
        """Return no events: a completion opens with its first text."""
        return []

    def chunk(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        """Return the chunk of a piece; empty while there is nothing to send."""
        if not (piece.text or piece.finish or ((self._logprobs or self._prompts is not None) and piece.tokens)):
            return []
        return [self._chunk([self._choice(index, piece.text, piece.tokens, piece.finish)])]

    def complete(self, choices: Sequence[Choice], usage: dict[str, int]) -> dict[str, Any]:
        """Return the text_completion object."""
        listed = [self._choice(index, choice.text, choice.tokens, choice.finish) for index, choice in enumerate(choices)]
        return {**self._common, "object": self._kind, "choices": listed, "usage": usage}

    def _choice(self, index: int, text: str, tokens: Sequence[Token], finish: str | None) -> dict[str, Any]:
        ids = self._ids(tokens)
        if self._prompts is not None and index not in self._prompt_sent:
            self._prompt_sent.add(index)
            ids["prompt_token_ids"] = list(self._prompts[index])
        return {"index": index, "text": text, "logprobs": self._logprob_lists(index, tokens), "finish_reason": finish, **ids}

    def _logprob_lists(self, index: int, tokens: Sequence[Token]) -> dict[str, Any] | None:
        if not self._logprobs:
            return None
        offsets = []
        for token in tokens:
            offsets.append(self._offsets.get(index, 0))
            self._offsets[index] = offsets[-1] + len(_shown(token.text))
        return {
            "tokens": [_shown(token.text) for token in tokens],
            "token_logprobs": [_finite(token.logprob) for token in tokens],
            "top_logprobs": [_by_text(token) for token in tokens],
            "text_offset": offsets,
        }


def usage(prompt: int, completion: int) -> dict[str, int]:
    """Return the token counts of a request in OpenAI's format."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def embeddings(vectors: Sequence[Sequence[float]], model: str, tokens: int, *, base64: bool) -> dict[str, Any]:
    """Return the body of POST /v1/embeddings; `base64` packs each vector as little-endian float32, the default of the `openai` client."""
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if base64 else list(vector)}
        for index, vector in enumerate(vectors)
    ]
    return {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def _packed(vector: Sequence[float]) -> str:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def model_list(models: Sequence[str], created: int) -> dict[str, Any]:
    """Return the body of GET /v1/models: the base model, and adapters with the base as their parent."""
    return {"object": "list", "data": [model_entry(name, models, created) for name in models]}


def model_entry(name: str, models: Sequence[str], created: int) -> dict[str, Any]:
    """Return the entry of one served model."""
    parent = None if name == models[0] else models[0]
    return {"id": name, "object": "model", "created": created, "owned_by": "swift-core", "root": models[0], "parent": parent}


def _entry(text: str, logprob: float | None) -> dict[str, Any]:
    return {"token": _shown(text), "logprob": _finite(logprob), "bytes": list(_bytes(text))}


def _bytes(text: str) -> bytes:
    """Return the bytes of a token's text, in which surrogate escapes stand for bytes that are no whole character."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # another lone surrogate
        return text.encode("utf-8", "replace")


def _shown(text: str) -> str:
    return _bytes(text).decode("utf-8", "replace")


def _by_text(token: Token) -> dict[str, float | None] | None:
    """Return the log-probabilities of the top tokens and the chosen one, by text; of tokens with equal text the most likely one counts."""
    if not token.top:
        return None
    chosen = () if token.logprob is None else ((token.text, token.logprob),)
    return {_shown(text): _finite(value) for text, value in reversed((*token.top, *chosen))}


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else _MIN_LOGPROB
