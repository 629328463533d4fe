"""Engine interface: what the HTTP layer needs of a model, in terms of tokens and text and not of HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from swift_http.head_engine import HeadEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling parameters of one completion. None means: as in the model's generation config.

    Attributes:
        max_tokens: maximum number of generated tokens.
        temperature: softmax temperature; 0 is greedy decoding.
        top_p: nucleus sampling: smallest set of tokens with this cumulative probability.
        top_k: sample from the k most likely tokens; 0: from all.
        min_p: minimum probability relative to the most likely token.
        repetition_penalty: multiplicative penalty on tokens in the prompt or the completion.
        seed: seed of the random number generator.
        logprobs: number of alternatives returned per token; None: no log-probabilities at all.
        schema: JSON Schema, as text, that the completion must match.
        keep_special_tokens: leave special tokens in the text, since some models mark their tool calls with them.
        frequency_penalty: subtracted from a token's logit once per occurrence in the completion.
        presence_penalty: subtracted from a token's logit if it occurs in the completion.
        logit_bias: (token id, value added to its logit).
        min_tokens: number of tokens before which the completion can't end.
        ignore_eos: don't stop at the model's end-of-sequence tokens.
        stop_token_ids: further tokens that end the completion.
        forced_calls: functions one of which must be called; the completion is then JSON: {"name": …, "arguments": {…}}.
        parallel_calls: with `forced_calls`: a JSON list of calls in place of one call.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    logprobs: int | None = None
    schema: str | None = None
    keep_special_tokens: bool = False
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    min_tokens: int = 0
    ignore_eos: bool = False
    stop_token_ids: tuple[int, ...] = ()
    forced_calls: tuple[Function, ...] = ()
    parallel_calls: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A callable function; `arguments` is the JSON Schema of its arguments, as text."""

    name: str  # the function's name
    arguments: str


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its id, its text in isolation, and its log-probability (natural logarithm, before temperature).

    `top` holds the most likely tokens at its position, as (text, log-probability). `text` may be empty if no log-probabilities were
    requested; bytes that are no whole character are surrogate escapes (PEP 383): `bytes.decode("utf-8", "surrogateescape")`.
    """

    id: int  # the token id
    text: str
    logprob: float | None = None  # None if it was not requested
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """The next part of a completion. `text` may lag behind `tokens` while a character is incomplete; the last piece has `finish`."""

    text: str
    tokens: tuple[Token, ...] = ()
    finish: Literal["stop", "length"] | None = None


class ChatEngine(Protocol):
    """A served model. `generate` and `score` run in the event loop; the other methods may be called from any thread."""

    @property
    def models(self) -> Sequence[str]:
        """Names that clients can request: the base model first, then its adapters."""
        ...

    @property
    def context(self) -> int:
        """Maximum number of tokens of prompt and completion together."""
        ...

    def render(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] = (), generation_prompt: bool = True
    ) -> list[int]:
        """Return the token ids of a conversation, rendered with the chat template.

        Args:
            messages: turns with `role` and `content`, and optionally `tool_calls` (arguments as objects), `tool_call_id`, `name` and
                `reasoning_content`.
            tools: tool definitions in OpenAI's format.
            generation_prompt: append the opening of the assistant's turn.

        Raises:
            UsageError: the model has no chat template, or its template rejects these messages or does not support tools.
        """
        ...

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Return the token ids of a text; `special`: with the special tokens that the tokenizer adds."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids, special tokens included."""
        ...

    def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str) -> AsyncIterator[Piece]:
        """Generate the completion of a prompt, piece by piece. Closing the iterator cancels the work.

        Every generated token is in a piece, including the one that ends the completion, whose text is left out.
        """
        ...

    async def score(self, prompt: Sequence[int], *, model: str, top: int) -> list[Token]:
        """Return the prompt's tokens with their log-probabilities (the first has none) and `top` alternatives each.

        Raises:
            UsageError: the engine can't compute them.
        """
        ...


OPTIONAL_FIELDS: Mapping[str, str] = {  # optional features of an engine, and the request field that uses each
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "logit_bias": "logit_bias",
    "min_tokens": "min_tokens",
    "ignore_eos": "ignore_eos",
    "stop_token_ids": "stop_token_ids",
    "forced_calls": "tool_choice",
    "variables": "chat_template_kwargs",
}


@runtime_checkable
class DeclaresSupport(Protocol):
    """An engine that supports some of `OPTIONAL_FIELDS`; requests that use the others are rejected before they reach it."""

    @property
    def supports(self) -> Collection[str]:
        """Supported fields of `Sampling`, and `variables` if `render` accepts that argument (chat template variables, by name).

        `render` must raise UsageError for variables that the template does not use.
        """
        ...


@runtime_checkable
class AcceptsMedia(Protocol):
    """An engine whose messages may hold media. `render` gets such a content as parts, such as {"type": "image", "image": URL}.

    `render` reads the media, and raises UsageError for one that it may not read or can't decode. It may return a subclass of list that
    carries them; `generate` and `score` get that very object.
    """

    @property
    def media_kinds(self) -> Collection[str]:
        """Kinds of media: "image", "video", "audio"."""
        ...


def media_kinds(engine: ChatEngine | HeadEngine) -> Collection[str]:
    """Return the kinds of media that an engine takes in messages."""
    return engine.media_kinds if isinstance(engine, AcceptsMedia) else ()


@runtime_checkable
class Transcribes(AcceptsMedia, Protocol):
    """An engine that may be of a speech-to-text model. Its `render` takes the variables `language` and `task`."""

    @property
    def transcribes(self) -> bool:
        """Whether the model turns speech into text, and does nothing else."""
        ...


@runtime_checkable
class ReportsFailure(Protocol):
    """An engine that can fail permanently: /health then returns 503, and `run` stops the server."""

    @property
    def fault(self) -> BaseException | None:
        """The error that stopped the engine; None while it works."""
        ...


@runtime_checkable
class SupportsEmbeddings(Protocol):
    """An engine that also computes embeddings."""

    async def embed(self, prompt: Sequence[int], *, model: str) -> list[float]:
        """Return the embedding of a prompt, normalized to unit length."""
        ...


@runtime_checkable
class SupportsRuntimeWeights(Protocol):
    """An engine that can replace the weights of its base model at runtime."""

    async def update_weights(self, folder: Path) -> None:
        """Replace the weights by those of a checkpoint. Raises UsageError if it does not fit, or requests are active."""
        ...


@runtime_checkable
class SupportsRuntimeAdapters(Protocol):
    """An engine that can load and unload adapters at runtime."""

    async def load_adapter(self, name: str, folder: Path, *, allow_other_base: bool = False) -> None:
        """Load an adapter. Raises UsageError if the name is in use, or the adapter was trained on another base or does not fit."""
        ...

    async def unload_adapter(self, name: str) -> None:
        """Unload an adapter. Raises UsageError if no adapter has that name, or requests use it."""
        ...
