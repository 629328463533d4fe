"""The answer of POST /v1/responses: its object, and the events of its stream."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

from swift_http.engine import Piece
from swift_http.errors import ApiError
from swift_http.response_requests import ResponsesRequest
from swift_http.responses import Choice, encoded
from swift_http.tools import Call, CallFilter, ToolParser

_PLAIN = ToolParser((), lambda text: [])  # finds no calls


class ResponseForm:
    """One response: a message if there is text, then calls."""

    done = b""  # the last event says that it is whole

    def __init__(self, request: ResponsesRequest, parser: ToolParser | None) -> None:
        self._request = request
        self._id = f"resp_{secrets.token_hex(24)}"
        self._created = int(time.time())
        self._parser = parser or _PLAIN
        self._filter = CallFilter(self._parser)
        self._number = 0
        self._text = ""
        self._message: str | None = None  # its id, once it is open
        self._finish: str | None = None
        self._output: list[dict[str, Any]] = []

    def frame(self, event: dict[str, Any]) -> bytes:
        """An event on the wire."""
        return f"event: {event['type']}\ndata: ".encode() + encoded(event) + b"\n\n"

    def failed(self, error: ApiError) -> dict[str, Any]:
        """The event that tells of a failure on the way."""
        told = error.body["error"]
        return self._event("error", code=told["code"] or told["type"], message=told["message"], param=told["param"])

    def opening(self, index: int) -> list[dict[str, Any]]:
        """Created, and begun."""
        return [self._event(f"response.{name}", response=self._object("in_progress", None)) for name in ("created", "in_progress")]

    def chunk(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        """Some more text; at the end, what closes it, and the calls."""
        text, calls, events = self._filter.push(piece.text), list[Call](), list[dict[str, Any]]()
        if piece.finish:
            rest, calls = self._filter.finish()
            text += rest
            self._finish = piece.finish
        if text or (piece.finish and not calls and self._message is None):
            events += self._more(text)
        if piece.finish:
            events += self._close()
            for call in calls:
                events += self._call(call)
        return events

    def last(self, usage: dict[str, int]) -> list[dict[str, Any]]:
        """The whole response."""
        status = self._status(self._finish)
        return [self._event(f"response.{status}", response=self._object(status, usage))]

    def whole(self, choices: Sequence[Choice], usage: dict[str, int]) -> dict[str, Any]:
        """The response in one."""
        self.chunk(0, Piece(choices[0].text, (), "stop"))
        self._finish = choices[0].finish
        return self._object(self._status(self._finish), usage)

    def _status(self, finish: str | None) -> str:
        return "incomplete" if finish == "length" else "completed"

    def _event(self, kind: str, **more: Any) -> dict[str, Any]:
        self._number += 1
        return {"type": kind, "sequence_number": self._number - 1, **more}

    def _more(self, text: str) -> list[dict[str, Any]]:
        events = []
        if self._message is None:
            self._message = f"msg_{secrets.token_hex(24)}"
            events.append(self._event("response.output_item.added", output_index=0, item=self._item("in_progress", [])))
            events.append(self._event("response.content_part.added", **self._place(), part=self._part("")))
        self._text += text
        if text:
            events.append(self._event("response.output_text.delta", **self._place(), delta=text, logprobs=[]))
        return events

    def _close(self) -> list[dict[str, Any]]:
        if self._message is None:
            return []
        item = self._item(self._status(self._finish), [self._part(self._text)])
        self._output.append(item)
        return [
            self._event("response.output_text.done", **self._place(), text=self._text, logprobs=[]),
            self._event("response.content_part.done", **self._place(), part=self._part(self._text)),
            self._event("response.output_item.done", output_index=0, item=item),
        ]

    def _call(self, call: Call) -> list[dict[str, Any]]:
        index, made = len(self._output), call.form()
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
        asked = self._request
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
            "model": asked.model,
            "output": list(self._output),
            "parallel_tool_calls": asked.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {"effort": asked.reasoning.effort if asked.reasoning else None, "summary": None},
            "store": False,
            "temperature": asked.temperature,
            "text": {"format": (asked.text and asked.text.format) or {"type": "text"}},
            "tool_choice": asked.tool_choice or "auto",
            "tools": asked.tools or [],
            "top_p": asked.top_p,
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
