"""Response of POST /v1/responses: the response object and the events of its stream."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

from swift_http.engine import Piece
from swift_http.errors import ApiError
from swift_http.response_builders import Choice, encoded
from swift_http.responses_api_request import ResponsesRequest
from swift_http.tools import Call, ToolCallFilter, ToolParser

_NO_CALLS = ToolParser((), lambda text: [])


class ResponsesApiBuilder:
    """Builds one response: a message if there is text, then the tool calls."""

    terminator = b""  # the last event marks the end

    def __init__(self, request: ResponsesRequest, parser: ToolParser | None) -> None:
        self._request = request
        self._id = f"resp_{secrets.token_hex(24)}"
        self._created = int(time.time())
        self._parser = parser or _NO_CALLS
        self._filter = ToolCallFilter(self._parser)
        self._sequence_number = 0
        self._text = ""
        self._message: str | None = None  # id of the message, once its first event was sent
        self._finish: str | None = None
        self._output: list[dict[str, Any]] = []

    def frame(self, event: dict[str, Any]) -> bytes:
        """Encode an event as a server-sent event."""
        return f"event: {event['type']}\ndata: ".encode() + encoded(event) + b"\n\n"

    def failed(self, error: ApiError) -> dict[str, Any]:
        """Return the event that reports a failure during the stream."""
        body = error.body["error"]
        return self._event("error", code=body["code"] or body["type"], message=body["message"], param=body["param"])

    def opening(self, index: int) -> list[dict[str, Any]]:
        """Return the events `response.created` and `response.in_progress`."""
        return [self._event(f"response.{name}", response=self._object("in_progress", None)) for name in ("created", "in_progress")]

    def chunk(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        """Return the events of a piece: text; with the last piece also the end of the message and the tool calls."""
        text, calls, events = self._filter.push(piece.text), list[Call](), list[dict[str, Any]]()
        if piece.finish:
            rest, calls = self._filter.finish()
            text += rest
            self._finish = piece.finish
        if text or (piece.finish and not calls and self._message is None):
            events += self._add_text(text)
        if piece.finish:
            events += self._close_message()
            for call in calls:
                events += self._add_call(call)
        return events

    def last(self, usage: dict[str, int]) -> list[dict[str, Any]]:
        """Return the final event, with the whole response."""
        status = self._status(self._finish)
        return [self._event(f"response.{status}", response=self._object(status, usage))]

    def complete(self, choices: Sequence[Choice], usage: dict[str, int]) -> dict[str, Any]:
        """Return the complete response object."""
        self.chunk(0, Piece(choices[0].text, (), "stop"))
        self._finish = choices[0].finish
        return self._object(self._status(self._finish), usage)

    def _status(self, finish: str | None) -> str:
        return "incomplete" if finish == "length" else "completed"

    def _event(self, kind: str, **more: Any) -> dict[str, Any]:
        self._sequence_number += 1
        return {"type": kind, "sequence_number": self._sequence_number - 1, **more}

    def _add_text(self, text: str) -> list[dict[str, Any]]:
        events = []
        if self._message is None:
            self._message = f"msg_{secrets.token_hex(24)}"
            events.append(self._event("response.output_item.added", output_index=0, item=self._item("in_progress", [])))
            events.append(self._event("response.content_part.added", **self._place(), part=self._part("")))
        self._text += text
        if text:
            events.append(self._event("response.output_text.delta", **self._place(), delta=text, logprobs=[]))
        return events

    def _close_message(self) -> list[dict[str, Any]]:
        if self._message is None:
            return []
        item = self._item(self._status(self._finish), [self._part(self._text)])
        self._output.append(item)
        return [
            self._event("response.output_text.done", **self._place(), text=self._text, logprobs=[]),
            self._event("response.content_part.done", **self._place(), part=self._part(self._text)),
            self._event("response.output_item.done", output_index=0, item=item),
        ]

    def _add_call(self, call: Call) -> list[dict[str, Any]]:
        index, made = len(self._output), call.to_openai()
        item = {"id": f"fc_{secrets.token_hex(24)}", "type": "function_call", "call_id": made["id"], "name": call.name}
        done = {**item, "arguments": call.arguments, "status": "completed"}
        place = {"output_index": index, "item_id": item["id"]}
        self._output.append(done)
        return [
            self._event("response.output_item.added", output_index=index, item={**item, "arguments": "", "status": "in_progress"}),
            self._event("response.function_call_arguments.delta", **place, delta=call.arguments),
            self._event("response.function_call_arguments.done", **place, name=call.name, arguments=call.arguments),
            self._event("response.output_item.done", output_index=index, item=done),
        ]

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._message, "output_index": 0, "content_index": 0}

    def _part(self, text: str) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def _item(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self._message, "type": "message", "role": "assistant", "status": status, "content": content}

    def _object(self, status: str, usage: dict[str, int] | None) -> dict[str, Any]:
        request = self._request
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "model": request.model,
            "output": list(self._output),
            "parallel_tool_calls": request.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {"effort": request.reasoning.effort if request.reasoning else None, "summary": None},
            "store": False,
            "temperature": request.temperature,
            "text": {"format": (request.text and request.text.format) or {"type": "text"}},
            "tool_choice": request.tool_choice or "auto",
            "tools": request.tools or [],
            "top_p": request.top_p,
            "truncation": "disabled",
            "usage": usage and _usage(usage),
            "metadata": {},
        }


def _usage(counts: dict[str, int]) -> dict[str, Any]:
    return {
        "input_tokens": counts["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": counts["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": counts["total_tokens"],
    }
