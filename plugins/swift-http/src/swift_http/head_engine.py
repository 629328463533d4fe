"""Interface of a served model that gives numbers for texts and no tokens: an embedding model, a classifier or a reranker."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

HeadTask = Literal["embed", "classify", "score", "token_classify"]
Messages = Sequence[Mapping[str, Any]]
TextItem = str | Sequence[int] | Messages  # a text, its token ids, or a conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRequest:
    """The fields of a request beside its texts.

    Attributes:
        model: a served name.
        truncate: tokens to which a longer text is cut on the right; -1: the model's maximum; None: a longer text is refused.
        activate: apply the model's activation to its logits (sigmoid or softmax).
        prompt: name of the prompt that precedes a text: "query", "document", or "" for none.
    """

    model: str
    truncate: int | None = None
    activate: bool = True
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of each text or pair, and the tokens that were computed for them."""

    rows: Sequence[Sequence[float]]  # of each text or pair
    tokens: int  # that were computed


@dataclass(frozen=True, slots=True)
class LabelledText:
    """The numbers of the words or tokens of a text."""

    places: Sequence[tuple[int, int]]  # start and end of each in the text, in characters
    rows: Sequence[Sequence[float]]  # of each, a number for each class
    entities: Sequence[tuple[int, int, str]] | None = None  # start, end and type of the named entities; None without a label O


class HeadEngine(Protocol):
    """A served model with a head. Its coroutines run in the event loop, its other methods in any thread.

    They raise UsageError for a text that is empty or too long, and for a task that the model does not have.
    """

    @property
    def models(self) -> Sequence[str]:
        """Names that clients can request."""
        ...

    @property
    def context(self) -> int:
        """Maximum number of tokens of a text or pair."""
        ...

    def tasks(self, model: str) -> Collection[HeadTask]:
        """Return what a model computes."""
        ...

    def labels(self, model: str) -> Sequence[str]:
        """Return the names of a classifier's numbers."""
        ...

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Return the token ids of a text; `special`: with the special tokens that the tokenizer adds."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids, special tokens included."""
        ...

    def render(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] = (), generation_prompt: bool = True
    ) -> list[int]:
        """Return the token ids of a conversation, as in `ChatEngine.render`."""
        ...

    async def embed(self, texts: Sequence[TextItem], asked: HeadRequest) -> Numbers:
        """Return the vector of each text."""
        ...

    async def classify(self, texts: Sequence[TextItem], asked: HeadRequest) -> Numbers:
        """Return a number for each class of each text."""
        ...

    async def classify_tokens(self, texts: Sequence[str], asked: HeadRequest) -> tuple[Sequence[LabelledText], int]:
        """Return a number for each class of each word or token of each text, and the tokens that were computed."""
        ...

    async def score(self, pairs: Sequence[tuple[str, str]], asked: HeadRequest) -> Numbers:
        """Return the score of each pair of a query and a document, a row of one number."""
        ...
