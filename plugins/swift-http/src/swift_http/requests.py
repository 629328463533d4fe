"""The requests of OpenAI's API that are understood here.

What would change the answer and can't be done is refused; what can't change it (`user`, `metadata`, …) is accepted and ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swift_http.engine import Sampling
from swift_http.errors import ApiError

# Fields that are fine as long as they ask for nothing: their neutral values.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logit_bias": (None, {}),
    "suffix": (None, ""),
    "tools": (None, []),
    "functions": (None, []),
    "tool_choice": (None, "none", "auto"),
    "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
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


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

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
        )


class TextPart(BaseModel):
    """A part of a message; this server takes text."""

    type: str
    text: str = ""


class Message(BaseModel):
    """A turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None

    def turn(self) -> dict[str, str]:
        """{role, content} as chat templates take them.

        Raises:
            ApiError: 400, a part that is no text.
        """
        content = self.content or ""
        if not isinstance(content, str):
            other = next((part.type for part in content if part.type != "text"), None)
            if other:
                raise ApiError(400, f"content of type '{other[:50]}' can't be read here: this model takes text", param="messages")
            content = "".join(part.text for part in content)
        return {"role": "system" if self.role == "developer" else self.role, "content": content}


class ChatRequest(_Request):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    def wishes(self) -> Sampling:
        """How to choose tokens."""
        return self.sampling(self.max_completion_tokens or self.max_tokens, (self.top_logprobs or 0) if self.logprobs else None)


class CompletionRequest(_Request):
    """POST /v1/completions. A prompt is text or token ids; there may be several."""

    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: Annotated[int, Field(ge=0)] | None = 16  # OpenAI's default
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool | None = False

    def prompts(self) -> list[str | list[int]]:
        """Each prompt."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and all(isinstance(item, int) for item in self.prompt):
            return [[item for item in self.prompt if isinstance(item, int)]]
        return [item for item in self.prompt if not isinstance(item, int)]

    def wishes(self) -> Sampling:
        """How to choose tokens."""
        return self.sampling(self.max_tokens, self.logprobs)


class TokenizeRequest(BaseModel):
    """POST /tokenize, as vLLM has it: a prompt, or the messages of a conversation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str | None = None
    prompt: str | None = None
    messages: list[Message] | None = None
    add_special_tokens: bool = True
    add_generation_prompt: bool = True

    @model_validator(mode="after")
    def _one_of_both(self) -> TokenizeRequest:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either 'prompt' or 'messages'")
        return self
