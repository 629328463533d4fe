"""The turns of a conversation and the tools beside it, as OpenAI's clients send them and as chat templates take them."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from swift_http.errors import ApiError

_NEUTRAL = frozenset({"annotations", "id", "cache_control", "parsed"})  # what an answer or a cache has beside its words
_EMPTY = frozenset({"refusal", "audio", "function_call"})


def _known(data: Any, fields: Collection[str], ignored: Collection[str], empty: Collection[str], what: str) -> Any:
    """The fields that are read: `ignored` ones change nothing, `empty` ones have to be so.

    Raises:
        ApiError: 400, another one, which would be ignored in silence.
    """
    if not isinstance(data, dict):
        return data
    for name in data:
        if name in fields or name in ignored or data[name] is None or (name in empty and not data[name]):
            continue
        raise ApiError(400, f"'{name[:50]}' of {what} is not understood here", param="messages")
    return {name: value for name, value in data.items() if name in fields}


class TextPart(BaseModel):
    """A part of a message; this server takes text."""

    model_config = ConfigDict(strict=True)

    type: str
    text: str | None = None


class Function(BaseModel):
    """The function that a tool call names; arguments are JSON text in OpenAI's form, and an object is understood too."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    arguments: str | dict[str, Any] = ""
    parsed_arguments: Any = None  # what OpenAI's clients add to what they have read

    def parsed(self) -> dict[str, Any]:
        """Arguments as the object that chat templates take.

        Raises:
            ApiError: 400, they are none.
        """
        try:
            arguments = json.loads(self.arguments or "{}") if isinstance(self.arguments, str) else self.arguments
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise ApiError(400, f"the arguments of the call of '{self.name[:50]}' are no JSON object", param="messages")
        return arguments


class ToolCall(BaseModel):
    """A call that the assistant has made; `index` is its place in a stream."""

    model_config = ConfigDict(extra="forbid", strict=True)

    index: int | None = None
    id: str | None = None
    type: Literal["function"] = "function"
    function: Function

    def call(self) -> dict[str, Any]:
        """The call as chat templates take it. Raises as `Function.parsed` does."""
        named = {"id": self.id} if self.id else {}
        return {"type": self.type, **named, "function": {"name": self.function.name, "arguments": self.function.parsed()}}


class Message(BaseModel):
    """A turn of a conversation."""

    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None

    @model_validator(mode="before")
    @classmethod
    def _nothing_unread(cls, data: Any) -> Any:
        if isinstance(data, dict) and "reasoning" in data and "reasoning_content" not in data:  # the newer name of vLLM and others
            data = {"reasoning_content" if name == "reasoning" else name: value for name, value in data.items()}
        return _known(data, cls.model_fields, _NEUTRAL, _EMPTY, "a message")

    def turn(self) -> dict[str, Any]:
        """The turn as chat templates take it: `role`, `content` as one text, and what else was given.

        Raises:
            ApiError: 400, a part that is no text, or arguments of a tool call that are no object.
        """
        content = self.content or ""
        if not isinstance(content, str):
            other = next((part.type for part in content if part.type != "text"), None)
            if other:
                raise ApiError(400, f"content of type '{other[:50]}' can't be read here: this model takes text", param="messages")
            if any(part.text is None for part in content):
                raise ApiError(400, "a part of type 'text' has no 'text'", param="messages")
            content = "".join(part.text or "" for part in content)
        given = {field: getattr(self, field) for field in ("name", "tool_call_id", "reasoning_content")}
        turn: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role, "content": content}
        turn |= {field: value for field, value in given.items() if value is not None}
        if self.tool_calls:
            turn["tool_calls"] = [call.call() for call in self.tool_calls]
        return turn


def _functions(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tools stay as they were sent, since a template may write them out as JSON; here they are only looked at."""
    for tool in tools:
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ValueError('a tool is {"type": "function", "function": {"name": …}}')
    return tools


Tools = Annotated[list[dict[str, Any]], AfterValidator(_functions)]


class _Named(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str


class NamedTool(BaseModel):
    """The function that has to be called."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["function"]
    function: _Named
