"""Request body of POST /v1/responses, and its conversion to a chat request. Nothing is stored: each request has the whole conversation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from swift_http.errors import ApiError
from swift_http.request_body import RequestBody, supported_fields
from swift_http.requests import IGNORED, ChatRequest, MaxTokens, StreamOptions, Temperature, TopP

# Unsupported fields, and the values with which they have no effect.
_NO_EFFECT: dict[str, tuple[Any, ...]] = {
    "background": (None, False),
    "conversation": (None,),
    "include": (None, [], ["reasoning.encrypted_content"]),
    "max_tool_calls": (None,),
    "previous_response_id": (None,),
    "prompt": (None,),
    "top_logprobs": (None, 0),
    "truncation": (None, "disabled"),
}
_IGNORED = IGNORED | {"prompt_cache_retention"}
_NOT_STORED = "this server does not store responses: send the whole conversation as input"


class _Text(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: dict[str, Any] | None = None
    verbosity: Literal["medium"] | None = None


class _Reasoning(BaseModel):
    model_config = ConfigDict(extra="forbid")

    effort: str | None = None
    summary: Literal["auto"] | None = None


class ResponsesRequest(RequestBody):
    """Body of POST /v1/responses."""

    model: str
    input: Annotated[str, Field(min_length=1)] | Annotated[list[dict[str, Any]], Field(min_length=1)]
    instructions: str | None = None
    max_output_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None

    @model_validator(mode="before")
    @classmethod
    def _reject_unsupported(cls, data: Any) -> Any:
        return supported_fields(data, _NO_EFFECT, _IGNORED, why=dict.fromkeys(("previous_response_id", "conversation"), _NOT_STORED))

    def as_chat(self) -> ChatRequest:
        """Convert to a chat request.

        Raises:
            ApiError: 400, an input item or a tool is not supported.
            RequestValidationError: a value is invalid in a chat request.
        """
        system = [{"role": "system", "content": self.instructions}] if self.instructions else []
        items = [{"role": "user", "content": self.input}] if isinstance(self.input, str) else _messages(self.input)
        chat = {
            "model": self.model,
            "messages": system + items,
            "max_completion_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "stream": self.stream,
            "stream_options": {"include_usage": True},
            "tools": None if self.tools is None else [_tool(tool) for tool in self.tools],
            "tool_choice": self._choice(),
            "parallel_tool_calls": self.parallel_tool_calls,
            "response_format": _response_format(self.text.format if self.text else None),
            "reasoning_effort": self.reasoning.effort if self.reasoning else None,
        }
        try:
            return ChatRequest.model_validate(chat)
        except ValidationError as error:
            raise RequestValidationError(error.errors(), body=chat) from None

    def _choice(self) -> Any:
        if not isinstance(self.tool_choice, dict):
            return self.tool_choice
        if set(self.tool_choice) != {"type", "name"}:
            raise ApiError(400, 'tool_choice must be a string or {"type": "function", "name": …}', param="tool_choice")
        return {"type": self.tool_choice["type"], "function": {"name": self.tool_choice["name"]}}


def _messages(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for item in items:
        kind = item.get("type", "message")
        if kind == "message":
            _check_fields(item, "role", "content")
            turns.append({"role": item.get("role"), "content": _parts(item.get("content"))})
        elif kind == "function_call":
            _check_fields(item, "call_id", "name", "arguments")
            call = {"id": item.get("call_id"), "function": {"name": item.get("name"), "arguments": item.get("arguments")}}
            if not turns or turns[-1]["role"] != "assistant":
                turns.append({"role": "assistant", "content": None})
            turns[-1].setdefault("tool_calls", []).append(call)
        elif kind == "function_call_output":
            _check_fields(item, "call_id", "output")
            turns.append({"role": "tool", "content": _parts(item.get("output")), "tool_call_id": item.get("call_id")})
        else:
            why = f" ({_NOT_STORED})" if kind == "item_reference" else ""
            raise ApiError(400, f"unsupported input item of type '{str(kind)[:50]}'{why}", param="input")
    return turns


def _check_fields(item: dict[str, Any], *fields: str) -> None:
    for name, value in item.items():
        if name not in (*fields, "type", "id", "status") and value is not None:  # clients send null for unset fields
            raise ApiError(400, f"unsupported field '{name[:50]}' of an input item", param="input")


def _parts(content: Any) -> Any:
    """Convert text parts to the type name of chat completions."""
    if not isinstance(content, list):
        return content
    names = {"input_text": "text", "output_text": "text"}
    return [{**part, "type": names.get(str(part.get("type")), part.get("type"))} if isinstance(part, dict) else part for part in content]


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise ApiError(400, f"unsupported tool of type '{str(tool.get('type'))[:50]}': this server has no built-in tools", param="tools")
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type" and value is not None}}


def _response_format(given: dict[str, Any] | None) -> dict[str, Any] | None:
    if given is None or given.get("type") != "json_schema":
        return given
    return {"type": "json_schema", "json_schema": {name: value for name, value in given.items() if name != "type"}}
