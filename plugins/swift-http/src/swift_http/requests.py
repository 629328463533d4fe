"""Request bodies of OpenAI's API.

A field that would change the output and is not supported is rejected; one that can't change it (`user`, `metadata`, …) is ignored.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swift_http.engine import Sampling
from swift_http.errors import ApiError
from swift_http.forced_calls import forced
from swift_http.messages import Message, NamedTool, Tools
from swift_http.request_body import RequestBody, supported_fields

# Unsupported fields, and the values with which they have no effect.
_NO_EFFECT: dict[str, tuple[Any, ...]] = {
    "best_of": (None, 1),
    "suffix": (None, ""),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "verbosity": (None, "medium"),
}
IGNORED = frozenset({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"})

TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Batch = Annotated[list[str] | list[TokenId] | list[Annotated[list[TokenId], Field(min_length=1)]], Field(min_length=1)]
_TokenName = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]  # keys in JSON are strings
_Stop = Annotated[str, Field(min_length=1, max_length=1000)]


Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
MaxTokens = Annotated[int, Field(ge=1)]


class StreamOptions(BaseModel):
    """Options of a stream; `include_usage` requests a last chunk with the token counts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool | None = False
    include_obfuscation: bool | None = None


class JsonSchema(BaseModel):
    """A named JSON Schema. Output always matches it strictly."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = ""
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """Format of the output: any text, any JSON object, or JSON that matches a schema."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _schema_matches_type(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("'json_schema' is required with type json_schema, and only then")
        return self

    @property
    def schema_text(self) -> str | None:
        """The schema as JSON text; None if any text is allowed."""
        if self.type == "text":
            return None
        return json.dumps(self.json_schema.schema_ if self.json_schema else {"type": "object"})


def _document_extra_fields(schema: dict[str, Any]) -> None:
    """Add the accepted fields without effect to the OpenAPI document."""
    for name, neutral in _NO_EFFECT.items():
        schema["properties"][name] = {"enum": list(neutral), "description": "Accepted only with a value that has no effect."}
    for name in sorted(IGNORED):
        schema["properties"][name] = {"description": "Ignored."}


class _Request(RequestBody):
    model_config = ConfigDict(json_schema_extra=_document_extra_fields)

    model: str
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    stop: _Stop | Annotated[list[_Stop], Field(max_length=16)] | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
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
    def _reject_unsupported(cls, data: Any) -> Any:
        return supported_fields(data, _NO_EFFECT, IGNORED)

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end the completion and are not part of it."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def include_usage(self) -> bool:
        """True if the stream ends with the token counts."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def _sampling(self, max_tokens: int | None, logprobs: int | None, **more: Any) -> Sampling:
        """Return the sampling parameters of the request.

        Raises:
            ApiError: 400, two fields contradict each other.
        """
        sampling = Sampling(
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=0 if self.top_k == -1 else self.top_k,  # -1 means "all" in vLLM
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            seed=self.seed,
            logprobs=logprobs,
            schema=self.response_format.schema_text if self.response_format else None,
            frequency_penalty=self.frequency_penalty or None,
            presence_penalty=self.presence_penalty or None,
            logit_bias=tuple((int(token), bias) for token, bias in (self.logit_bias or {}).items()),
            min_tokens=self.min_tokens or 0,
            ignore_eos=bool(self.ignore_eos),
            stop_token_ids=tuple(self.stop_token_ids or ()),
            **more,
        )
        if max_tokens is not None and sampling.min_tokens > max_tokens:
            raise ApiError(400, "min_tokens is greater than max_tokens", param="min_tokens")
        for name in ("min_tokens", "ignore_eos"):
            if getattr(sampling, name) and (sampling.schema is not None or sampling.forced_calls):
                raise ApiError(
                    400, f"{name} can't be combined with a schema or a forced call, whose output ends when it is complete", param=name
                )
        if sampling.forced_calls and sampling.schema is not None:
            raise ApiError(400, "a forced call can't be combined with a response_format", param="tool_choice")
        return sampling


class ChatRequest(_Request):
    """Body of POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    tools: Tools | None = None
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Field(ge=0)] | None = None

    def sampling(self) -> Sampling:
        """Return the sampling parameters.

        Raises:
            ApiError: 400, fields contradict each other, or `tool_choice` names no tool.
        """
        if self.top_logprobs and not self.logprobs:
            raise ApiError(400, "top_logprobs requires logprobs: true", param="top_logprobs")
        choice = self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else self.tool_choice
        return self._sampling(
            self.max_completion_tokens or self.max_tokens,
            (self.top_logprobs or 0) if self.logprobs else None,
            forced_calls=forced(self.tools or (), choice),
            parallel_calls=bool(self.parallel_tool_calls),
        )

    @property
    def variables(self) -> dict[str, Any]:
        """Variables of the chat template."""
        effort = {} if self.reasoning_effort is None else {"reasoning_effort": self.reasoning_effort}
        return effort | (self.chat_template_kwargs or {})


def _as_list(given: str | list[str] | list[int] | list[list[int]]) -> list[str | list[int]]:
    """Normalize a text, token ids, or a list of either to a list of texts and token id lists."""
    if isinstance(given, str):
        return [given]
    if given and all(isinstance(item, int) for item in given):
        return [[item for item in given if isinstance(item, int)]]
    return [item for item in given if not isinstance(item, int)]


class CompletionRequest(_Request):
    """Body of POST /v1/completions. `prompt` is text or token ids, or a list of either."""

    prompt: str | Batch
    max_tokens: Annotated[int, Field(ge=0)] | None = 16  # OpenAI's default
    logprobs: Annotated[int, Field(ge=0)] | None = None
    echo: bool | None = False

    def prompts(self) -> list[str | list[int]]:
        """Return the prompts, each as text or token ids."""
        return _as_list(self.prompt)

    def sampling(self) -> Sampling:
        """Return the sampling parameters.

        Raises:
            ApiError: 400, fields contradict each other.
        """
        return self._sampling(self.max_tokens, self.logprobs)


class EmbeddingRequest(RequestBody):
    """Body of POST /v1/embeddings. `input` is text or token ids, or a list of either."""

    model: str
    input: Annotated[str, Field(min_length=1)] | Batch
    encoding_format: Literal["float", "base64"] | None = "float"
    user: str | None = None

    def inputs(self) -> list[str | list[int]]:
        """Return the inputs, each as text or token ids."""
        return _as_list(self.input)
