"""POST /v1/responses as the chat request that it is in other words. Nothing is stored, so that a conversation comes whole each time."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from swift_http.bodies import Body
from swift_http.errors import ApiError
from swift_http.requests import ChatRequest, StreamOptions

# Fields that are fine as long as they ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "background": (None, False),
    "conversation": (None,),
    "include": (None, [], ["reasoning.encrypted_content"]),
    "max_tool_calls": (None,),
    "previous_response_id": (None,),
    "prompt": (None,),
    "top_logprobs": (None, 0),
    "truncation": (None, "disabled"),
}
_IGNORED = frozenset({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"})
_STORED = "this server stores no responses: send the whole conversation as input"


class _Text(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: dict[str, Any] | None = None
    verbosity: Literal["medium"] | None = None


class _Reasoning(BaseModel):
    model_config = ConfigDict(extra="forbid")

    effort: str | None = None
    summary: Literal["auto"] | None = None


class ResponsesRequest(Body):
    """POST /v1/responses."""

    model: str
    input: Annotated[str, Field(min_length=1)] | Annotated[list[dict[str, Any]], Field(min_length=1)]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_what_is_done(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for name, neutral in _NEUTRAL.items():
            if name in data and data[name] not in neutral:
                why = f". Here {_STORED}" if name in ("previous_response_id", "conversation") else ""
                raise ApiError(400, f"'{name}' is not supported by this server with that value{why}", param=name)
        return {name: value for name, value in data.items() if name not in _NEUTRAL and name not in _IGNORED}

    def chat(self) -> ChatRequest:
        """The same as a chat request.

        Raises:
            ApiError: 400, an item that can't be read here.
            RequestValidationError: a value that a chat request can't have.
        """
        begin = [{"role": "system", "content": self.instructions}] if self.instructions else []
        items = [{"role": "user", "content": self.input}] if isinstance(self.input, str) else _messages(self.input)
        chat = {
            "model": self.model,
            "messages": begin + items,
            "max_completion_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "stream": self.stream,
            "stream_options": {"include_usage": True},
            "tools": None if self.tools is None else [_tool(tool) for tool in self.tools],
            "tool_choice": self._choice(),
            "parallel_tool_calls": self.parallel_tool_calls,
            "response_format": _format(self.text.format if self.text else None),
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
            raise ApiError(400, 'a tool that is to be called is {"type": "function", "name": …}', param="tool_choice")
        return {"type": self.tool_choice["type"], "function": {"name": self.tool_choice["name"]}}


def _messages(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for item in items:
        kind = item.get("type", "message")
        if kind == "message":
            _only(item, "role", "content")
            turns.append({"role": item.get("role"), "content": _parts(item.get("content"))})
        elif kind == "function_call":
            _only(item, "call_id", "name", "arguments")
            call = {"id": item.get("call_id"), "function": {"name": item.get("name"), "arguments": item.get("arguments")}}
            if not turns or turns[-1]["role"] != "assistant":
                turns.append({"role": "assistant", "content": None})
            turns[-1].setdefault("tool_calls", []).append(call)
        elif kind == "function_call_output":
            _only(item, "call_id", "output")
            turns.append({"role": "tool", "content": _parts(item.get("output")), "tool_call_id": item.get("call_id")})
        else:
            why = f" ({_STORED})" if kind == "item_reference" else ""
            raise ApiError(400, f"items of type '{str(kind)[:50]}' can't be read here{why}", param="input")
    return turns


def _only(item: dict[str, Any], *fields: str) -> None:
    for name, value in item.items():
        if name not in (*fields, "type", "id", "status") and value is not None:  # clients write null for what they left out
            raise ApiError(400, f"'{name[:50]}' of an input item is not understood here", param="input")


def _parts(content: Any) -> Any:
    """Texts under the name that chat has for them."""
    if not isinstance(content, list):
        return content
    names = {"input_text": "text", "output_text": "text"}
    return [{**part, "type": names.get(str(part.get("type")), part.get("type"))} if isinstance(part, dict) else part for part in content]


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise ApiError(400, f"tools of type '{str(tool.get('type'))[:50]}' are not there: this server calls none itself", param="tools")
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type" and value is not None}}


def _format(form: dict[str, Any] | None) -> dict[str, Any] | None:
    if form is None or form.get("type") != "json_schema":
        return form
    return {"type": "json_schema", "json_schema": {name: value for name, value in form.items() if name != "type"}}
