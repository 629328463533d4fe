"""The requests of OpenAI's API that are understood here.

What would change the answer and can't be done is refused; what can't change it (`user`, `metadata`, …) is accepted and ignored.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swift_http.bodies import Body
from swift_http.engine import Sampling
from swift_http.errors import ApiError
from swift_http.forced_calls import forced
from swift_http.messages import Message, NamedTool, Tools

# Fields that are fine as long as they ask for nothing: their neutral values.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "best_of": (None, 1),
    "suffix": (None, ""),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "verbosity": (None, "medium"),
}
_IGNORED = frozenset(
    {
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
    }
)

TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Several = Annotated[list[str] | list[TokenId] | list[Annotated[list[TokenId], Field(min_length=1)]], Field(min_length=1)]
_TokenName = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]  # names in JSON are texts
_Stop = Annotated[str, Field(min_length=1, max_length=1000)]


class StreamOptions(BaseModel):
    """`include_usage` asks for a last chunk with the token counts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool | None = False
    include_obfuscation: bool | None = None


class JsonSchema(BaseModel):
    """A JSON Schema with the name that OpenAI's form gives it. It is always followed strictly."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = ""
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """What form the answer has to have: any text, any JSON object, or JSON that follows a schema."""

    model_config = ConfigDict(extra="forbid", strict=True)

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


class _Request(Body):
    model_config = ConfigDict(json_schema_extra=_with_others)

    model: str
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    stop: _Stop | Annotated[list[_Stop], Field(max_length=16)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, lt=2**31)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = 1
    response_format: ResponseFormat | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: Annotated[dict[_TokenName, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=1024)] | None = None
    min_tokens: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    ignore_eos: bool | None = False
    stop_token_ids: Annotated[list[TokenId], Field(max_length=128)] | None = None
    return_token_ids: bool | None = False

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

    def sampling(self, max_tokens: int | None, logprobs: int | None, **more: Any) -> Sampling:
        """The request's own wishes, in the engine's words.

        Raises:
            ApiError: 400, two that can't both be done.
        """
        wishes = Sampling(
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=0 if self.top_k == -1 else self.top_k,  # -1 is vLLM's "all of them"
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            seed=self.seed,
            logprobs=logprobs,
            schema=self.response_format.text if self.response_format else None,
            frequency_penalty=self.frequency_penalty or None,
            presence_penalty=self.presence_penalty or None,
            logit_bias=tuple((int(token), bias) for token, bias in (self.logit_bias or {}).items()),
            min_tokens=self.min_tokens or 0,
            ignore_eos=bool(self.ignore_eos),
            stop_token_ids=tuple(self.stop_token_ids or ()),
            **more,
        )
        if max_tokens is not None and wishes.min_tokens > max_tokens:
            raise ApiError(400, "min_tokens is more than the answer may have", param="min_tokens")
        for name in ("min_tokens", "ignore_eos"):
            if getattr(wishes, name) and (wishes.schema is not None or wishes.calls):
                raise ApiError(
                    400, f"{name} can't be kept beside a schema or a forced call: such an answer ends when it is whole", param=name
                )
        if wishes.calls and wishes.schema is not None:
            raise ApiError(400, "an answer is either a forced call or follows a response_format", param="tool_choice")
        return wishes


class ChatRequest(_Request):
    """POST /v1/chat/completions. Tools are rendered into the prompt; calls are read out of the answer where the model's form is known."""

    messages: Annotated[list[Message], Field(min_length=1)]
    tools: Tools | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    def wishes(self) -> Sampling:
        """How to choose tokens. Raises as `sampling` does."""
        if self.top_logprobs and not self.logprobs:
            raise ApiError(400, "top_logprobs needs logprobs: true", param="top_logprobs")
        return self.sampling(
            self.max_completion_tokens or self.max_tokens,
            (self.top_logprobs or 0) if self.logprobs else None,
            calls=forced(self.tools or (), self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else self.tool_choice),
            several=bool(self.parallel_tool_calls),
        )

    @property
    def variables(self) -> dict[str, Any]:
        """More of what the chat template is to know."""
        effort = {} if self.reasoning_effort is None else {"reasoning_effort": self.reasoning_effort}
        return effort | (self.chat_template_kwargs or {})


def _several(given: str | list[str] | list[int] | list[list[int]]) -> list[str | list[int]]:
    """One text, several, token ids, or several lists of them, as a list of texts and lists of ids."""
    if isinstance(given, str):
        return [given]
    if given and all(isinstance(item, int) for item in given):
        return [[item for item in given if isinstance(item, int)]]
    return [item for item in given if not isinstance(item, int)]


class CompletionRequest(_Request):
    """POST /v1/completions. A prompt is text or token ids; there may be several."""

    prompt: str | Several
    max_tokens: Annotated[int, Field(ge=0)] | None = 16  # OpenAI's default
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool | None = False

    def prompts(self) -> list[str | list[int]]:
        """Each prompt."""
        return _several(self.prompt)

    def wishes(self) -> Sampling:
        """How to choose tokens."""
        return self.sampling(self.max_tokens, self.logprobs)


class EmbeddingRequest(Body):
    """POST /v1/embeddings. An input is text or token ids; there may be several."""

    model: str
    input: Annotated[str, Field(min_length=1)] | Several
    encoding_format: Literal["float", "base64"] | None = "float"
    user: str | None = None

    def inputs(self) -> list[str | list[int]]:
        """Each input."""
        return _several(self.input)
