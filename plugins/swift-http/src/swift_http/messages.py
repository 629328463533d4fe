"""Messages and tools in OpenAI's request format, and their conversion to what chat templates expect."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from swift_http.errors import ApiError

_IGNORED = frozenset({"annotations", "id", "cache_control", "parsed"})  # fields of responses and of caching, without effect on the prompt
_MUST_BE_EMPTY = frozenset({"refusal", "audio", "function_call"})


def _select_known(data: Any, fields: Collection[str], ignored: Collection[str], must_be_empty: Collection[str], owner: str) -> Any:
    """Return the known fields of an object; `ignored` ones may have any value, `must_be_empty` ones must be empty.

    Raises:
        ApiError: 400, there is another field, which would otherwise be ignored silently.
    """
    if not isinstance(data, dict):
        return data
    for name in data:
        if name in fields or name in ignored or data[name] is None or (name in must_be_empty and not data[name]):
            continue
        raise ApiError(400, f"unsupported field '{name[:50]}' of {owner}", param="messages")
    return {name: value for name, value in data.items() if name in fields}


_KINDS: Mapping[str, str] = {
    "image_url": "image", "input_image": "image", "video_url": "video", "input_video": "video",
    "audio_url": "audio", "input_audio": "audio",
}  # fmt: skip


class Part(BaseModel):
    """A content part of a message: `text`, or `image_url`, `video_url`, `input_audio` or `audio_url` if the model takes such media."""

    model_config = ConfigDict(strict=True)

    type: str
    text: str | None = None
    image_url: str | dict[str, Any] | None = None
    video_url: str | dict[str, Any] | None = None  # as in vLLM's and SGLang's servers
    audio_url: str | dict[str, Any] | None = None
    input_audio: dict[str, Any] | None = None  # {"data": base64, "format": "wav"}

    def for_template(self, media: Collection[str]) -> dict[str, str]:
        """Return the part as chat templates expect it; media with their URL as `image`, `video` or `audio`.

        Raises:
            ApiError: 400, the type is unknown or not among the kinds in `media`, or the part has no content.
        """
        if self.type == "text":
            if self.text is None:
                raise ApiError(400, "a content part of type 'text' has no 'text'", param="messages")
            return {"type": "text", "text": self.text}
        kind = _KINDS.get(self.type, "")
        if kind not in media:
            takes = " and ".join(["text", *media]) + ("" if media else " only")
            raise ApiError(400, f"unsupported content of type '{self.type[:50]}': this model accepts {takes}", param="messages")
        given = {"image": self.image_url, "video": self.video_url, "audio": self.audio_url or _data_url(self.input_audio)}[kind]
        url = given.get("url") if isinstance(given, dict) else given
        if not isinstance(url, str) or not url:
            field = "input_audio" if self.type == "input_audio" else f"{kind}_url"
            raise ApiError(400, f"a content part of type '{self.type}' has no content in '{field}'", param="messages")
        return {"type": kind, kind: url}


def _data_url(audio: Mapping[str, Any] | None) -> str | None:
    if not audio or not isinstance(audio.get("data"), str) or not audio["data"]:
        return None
    return f"data:audio/{audio.get('format') or 'wav'};base64,{audio['data']}"


class Function(BaseModel):
    """The function of a tool call; `arguments` is JSON text, as in OpenAI's format, or an object."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    arguments: str | dict[str, Any] = ""
    parsed_arguments: Any = None  # added by OpenAI's client to parsed responses

    def parsed(self) -> dict[str, Any]:
        """Return the arguments as an object, as chat templates expect.

        Raises:
            ApiError: 400, they are not a JSON object.
        """
        try:
            arguments = json.loads(self.arguments or "{}") if isinstance(self.arguments, str) else self.arguments
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise ApiError(400, f"the arguments of the call of '{self.name[:50]}' are not a JSON object", param="messages")
        return arguments


class ToolCall(BaseModel):
    """A tool call of the assistant; `index` is its position in a stream."""

    model_config = ConfigDict(extra="forbid", strict=True)

    index: int | None = None
    id: str | None = None
    type: Literal["function"] = "function"
    function: Function

    def for_template(self) -> dict[str, Any]:
        """Return the call as chat templates expect it. Raises what `Function.parsed` raises."""
        named = {"id": self.id} if self.id else {}
        return {"type": self.type, **named, "function": {"name": self.function.name, "arguments": self.function.parsed()}}


class Message(BaseModel):
    """A message of a conversation."""

    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None

    @model_validator(mode="before")
    @classmethod
    def _reject_unknown(cls, data: Any) -> Any:
        if isinstance(data, dict) and "reasoning" in data and "reasoning_content" not in data:  # its newer name in vLLM and others
            data = {"reasoning_content" if name == "reasoning" else name: value for name, value in data.items()}
        return _select_known(data, cls.model_fields, _IGNORED, _MUST_BE_EMPTY, "a message")

    def for_template(self, media: Collection[str] = ()) -> dict[str, Any]:
        """Return the message as chat templates expect it: `role`, `content` as one text or as parts, and the other fields that are set.

        Args:
            media: kinds of media that the model takes ("image", "video", "audio").

        Raises:
            ApiError: 400, the model does not take a content part, or the arguments of a tool call are not an object.
        """
        content: str | list[dict[str, str]] = self.content if isinstance(self.content, str) else ""
        if isinstance(self.content, list):
            parts = [part.for_template(media) for part in self.content]
            content = "".join(part["text"] for part in parts) if all(part["type"] == "text" for part in parts) else parts
        given = {field: getattr(self, field) for field in ("name", "tool_call_id", "reasoning_content")}
        turn: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role, "content": content}
        turn |= {field: value for field, value in given.items() if value is not None}
        if self.tool_calls:
            turn["tool_calls"] = [call.for_template() for call in self.tool_calls]
        return turn


def _functions(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Check tool definitions. They stay as they were sent, since a chat template may write them out as JSON."""
    for tool in tools:
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ValueError('a tool must be {"type": "function", "function": {"name": …}}')
    return tools


Tools = Annotated[list[dict[str, Any]], AfterValidator(_functions)]


class _Named(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str


class NamedTool(BaseModel):
    """The function that `tool_choice` names."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["function"]
    function: _Named
