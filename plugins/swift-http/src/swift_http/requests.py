"""The requests of OpenAI's API that are understood here.

What would change the answer and can't be done is refused; what can't change it (`user`, `metadata`, …) is accepted and ignored.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from swift_http.engine import Sampling
from swift_http.errors import ApiError

# Fields that are fine as long as they ask for nothing: their neutral values.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "best_of": (None, 1),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logit_bias": (None, {}),
    "suffix": (None, ""),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "modalities": (None, ["text"]),
    "audio": (None,),
}
_IGNORED = frozenset(
    {
        "user",
        "metadata",
        "store",
        "service_tier",
        "parallel_tool_calls",
        "safety_identifier",
        "prompt_cache_key",
        "reasoning_effort",
        "verbosity",
    }
)

_Stop = Annotated[str, Field(min_length=1, max_length=1000)]


class StreamOptions(BaseModel):
    """`include_usage` asks for a last chunk with the token counts."""

    include_usage: bool | None = False
    include_obfuscation: bool | None = None


class JsonSchema(BaseModel):
    """A JSON Schema with the name that OpenAI's form gives it. It is always followed strictly."""

    model_config = ConfigDict(extra="forbid")

    name: str = ""
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """What form the answer has to have: any text, any JSON object, or JSON that follows a schema."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _schema_where_it_belongs(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("'json_schema' goes with the type json_schema")
        return self

    @property
    def text(self) -> str | None:
        """The schema as JSON text; None where any text will do."""
        if self.type == "text":
            return None
        return json.dumps(self.json_schema.schema_ if self.json_schema else {"type": "object"})


def _with_others(schema: dict[str, Any]) -> None:
    """Tell in the OpenAPI document of the fields that are taken and do nothing."""
    for name, neutral in _NEUTRAL.items():
        schema["properties"][name] = {"enum": list(neutral), "description": "Taken as long as it asks for nothing."}
    for name in sorted(_IGNORED):
        schema["properties"][name] = {"description": "Ignored."}


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_with_others)

    model: str
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    stop: _Stop | Annotated[list[_Stop], Field(max_length=16)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = 1
    response_format: ResponseFormat | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_what_is_done(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for name, neutral in _NEUTRAL.items():
            if name in data and data[name] not in neutral:
                raise ValueError(f"'{name}' is not supported by this server with that value")
        return {name: value for name, value in data.items() if name not in _NEUTRAL and name not in _IGNORED}

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end the answer and are not part of it."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self, max_tokens: int | None, logprobs: int | None) -> Sampling:
        """The request's own wishes, in the engine's words."""
        return Sampling(
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=0 if self.top_k == -1 else self.top_k,  # -1 is vLLM's "all of them"
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            seed=self.seed,
            logprobs=logprobs,
            schema=self.response_format.text if self.response_format else None,
        )


class TextPart(BaseModel):
    """A part of a message; this server takes text."""

    type: str
    text: str = ""


class Function(BaseModel):
    """The function that a tool call names; arguments are JSON text in OpenAI's form, and an object is understood too."""

    name: str
    arguments: str | dict[str, Any] = ""

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
    """A call that the assistant has made."""

    id: str | None = None
    type: Literal["function"] = "function"
    function: Function

    def call(self) -> dict[str, Any]:
        """The call as chat templates take it. Raises as `Function.parsed` does."""
        named = {"id": self.id} if self.id else {}
        return {"type": self.type, **named, "function": {"name": self.function.name, "arguments": self.function.parsed()}}


class Message(BaseModel):
    """A turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None

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
            content = "".join(part.text for part in content)
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


class ChatRequest(_Request):
    """POST /v1/chat/completions. Tools are rendered into the prompt; calls are read out of the answer where the model's form is known."""

    messages: Annotated[list[Message], Field(min_length=1)]
    tools: Tools | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    def wishes(self) -> Sampling:
        """How to choose tokens."""
        return self.sampling(self.max_completion_tokens or self.max_tokens, (self.top_logprobs or 0) if self.logprobs else None)


def _several(given: str | list[str] | list[int] | list[list[int]]) -> list[str | list[int]]:
    """One text, several, token ids, or several lists of them, as a list of texts and lists of ids."""
    if isinstance(given, str):
        return [given]
    if given and all(isinstance(item, int) for item in given):
        return [[item for item in given if isinstance(item, int)]]
    return [item for item in given if not isinstance(item, int)]


class CompletionRequest(_Request):
    """POST /v1/completions. A prompt is text or token ids; there may be several."""

    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: Annotated[int, Field(ge=0)] | None = 16  # OpenAI's default
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool | None = False

    def prompts(self) -> list[str | list[int]]:
        """Each prompt."""
        return _several(self.prompt)

    def wishes(self) -> Sampling:
        """How to choose tokens."""
        return self.sampling(self.max_tokens, self.logprobs)


class EmbeddingRequest(BaseModel):
    """POST /v1/embeddings. An input is text or token ids; there may be several."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    input: Annotated[str, Field(min_length=1)] | Annotated[list[str] | list[int] | list[list[int]], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] | None = "float"
    user: str | None = None

    def inputs(self) -> list[str | list[int]]:
        """Each input."""
        return _several(self.input)
