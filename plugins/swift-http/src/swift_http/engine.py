"""What the HTTP layer needs of an engine. It speaks of tokens and text, never of HTTP, so that any engine can stand behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to choose tokens. None: as the model's own generation config says.

    `logprobs` is how many alternatives a token comes with; None: no log-probabilities at all. `schema` is the text of a JSON Schema
    that the answer has to follow. `special` leaves control tokens in the text, where some models write their tool calls.

    Of `frequency_penalty` and `presence_penalty` the first is subtracted from a token's logit as often as the answer has it, the second
    once if it has it; `repetition_penalty` counts the prompt's tokens too. `logit_bias` are (token, added to its logit). No token that ends
    the answer comes before `min_tokens`; with `ignore_eos` those of the model end nothing; `stop_token_ids` are more that do.
    The answer has to be a call of one of the functions in `calls`, as JSON: {"name": …, "arguments": {…}}; with `several`, a list of calls.
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
    special: bool = False
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    min_tokens: int = 0
    ignore_eos: bool = False
    stop_token_ids: tuple[int, ...] = ()
    calls: tuple[Function, ...] = ()
    several: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function that may be called; `arguments` is the text of the JSON Schema of its arguments."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its id, its text alone, and its natural-log probability before temperature.

    `top` are the likeliest tokens in its place, as (text, log-probability). `text` may be empty where no log-probabilities were asked for.
    """

    id: int
    text: str
    logprob: float | None = None
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """Some more of an answer. `text` may lag behind `tokens` while a character is incomplete; the last piece has `finish`."""

    text: str
    tokens: tuple[Token, ...] = ()
    finish: Literal["stop", "length"] | None = None


class ChatEngine(Protocol):
    """A model that answers. Only `generate` and `score` are awaited; the others may be called from any thread."""

    @property
    def models(self) -> Sequence[str]:
        """The names it answers to: the base first, then its adapters."""
        ...

    @property
    def context(self) -> int:
        """Most tokens of prompt and answer together."""
        ...

    def render(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] = (), generation_prompt: bool = True
    ) -> list[int]:
        """Token ids of a conversation.

        Args:
            messages: turns of `role` and `content`, and where a turn has them `tool_calls` (arguments as objects), `tool_call_id`,
                `name`, `reasoning_content`.
            tools: what may be called, in OpenAI's form.
            generation_prompt: whether the answer's opening is to follow.

        Raises:
            UsageError: the model has no chat template, or its template refuses these messages or has no place for tools.
        """
        ...

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of a text, with the special tokens the tokenizer adds (or without)."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special tokens left in."""
        ...

    def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str) -> AsyncIterator[Piece]:
        """The answer to a prompt, piece by piece. Waits its turn; closing the iterator cancels the work.

        Every generated token is in a piece, the one that ends the answer too, but that one has no part in `text`.
        """
        ...

    async def score(self, prompt: Sequence[int], *, model: str, top: int) -> list[Token]:
        """The prompt's own tokens with their log-probabilities (the first has none) and `top` alternatives each.

        Raises:
            UsageError: the engine can't tell them.
        """
        ...


EXTENDED: Mapping[str, str] = {  # what not every engine does, and the field of a request that asks for it
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "logit_bias": "logit_bias",
    "min_tokens": "min_tokens",
    "ignore_eos": "ignore_eos",
    "stop_token_ids": "stop_token_ids",
    "calls": "tool_choice",
    "variables": "chat_template_kwargs",
}


@runtime_checkable
class Extends(Protocol):
    """An engine that does some of `EXTENDED`; requests for the others are refused before it sees them."""

    @property
    def supports(self) -> Collection[str]:
        """Fields of `Sampling` that it heeds; `variables`, if `render` takes such an argument: values by name for the chat template.

        `render` refuses variables that the template does not read.
        """
        ...


@runtime_checkable
class CanFail(Protocol):
    """An engine that knows when it can answer no more: /health says so then, and `run` ends the server."""

    @property
    def fault(self) -> BaseException | None:
        """Why it answers no more; None while it does."""
        ...


@runtime_checkable
class Embeds(Protocol):
    """An engine that also turns text into vectors."""

    async def embed(self, prompt: Sequence[int], *, model: str) -> list[float]:
        """A vector of length one."""
        ...


@runtime_checkable
class TakesAdapters(Protocol):
    """An engine whose adapters come and go while it runs."""

    async def load_adapter(self, name: str, folder: Path, *, allow_other_base: bool = False) -> None:
        """Serve one more. Raises UsageError if the name is taken, or the adapter was trained on another base or does not fit."""
        ...

    async def unload_adapter(self, name: str) -> None:
        """Serve it no more. Raises UsageError where there is none of that name, or it is in use."""
        ...
