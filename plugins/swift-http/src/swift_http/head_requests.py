"""Request bodies for numbers of texts: OpenAI's embeddings, vLLM's classify and score, and rerank as Cohere, Jina and vLLM have it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from swift_http.errors import ApiError
from swift_http.messages import Message
from swift_http.request_body import RequestBody, supported_fields
from swift_http.requests import IGNORED, EmbeddingRequest

_NO_EFFECT: dict[str, tuple[Any, ...]] = {
    "priority": (None, 0),
    "mm_processor_kwargs": (None, {}),
    "add_special_tokens": (None, True),
    "max_tokens_per_doc": (None,),
    "max_chunks_per_doc": (None,),
}
_PROMPTS = {"search_query": "query", "search_document": "document", "query": "query", "document": "document", "passage": "document"}

_Text = Annotated[str, Field(min_length=1)]
_Texts = Annotated[list[_Text], Field(min_length=1)]
_Truncate = Annotated[int, Field(ge=-1, lt=2**31)]


class _HeadBody(RequestBody):
    model: str
    truncate_prompt_tokens: _Truncate | None = None

    @model_validator(mode="before")
    @classmethod
    def _reject_unsupported(cls, data: Any) -> Any:
        return supported_fields(data, _NO_EFFECT, IGNORED)


class _Activated(_HeadBody):
    use_activation: bool | None = None
    activation: bool | None = None  # its older name in vLLM

    @property
    def activate(self) -> bool:
        """True if to return probabilities or scores, not logits."""
        return all(given is not False for given in (self.use_activation, self.activation))


class HeadEmbeddingRequest(EmbeddingRequest):
    """Body of POST /v1/embeddings of an embedding model. `dimensions` keeps the first numbers of a Matryoshka model's vectors."""

    dimensions: Annotated[int, Field(ge=1)] | None = None
    input_type: Literal["query", "document", "passage", "search_query", "search_document"] | None = None  # Cohere's and NVIDIA's
    truncate_prompt_tokens: _Truncate | None = None

    @model_validator(mode="before")
    @classmethod
    def _reject_unsupported(cls, data: Any) -> Any:
        return supported_fields(data, _NO_EFFECT, IGNORED)

    @property
    def prompt(self) -> str:
        """Name of the prompt that precedes each text."""
        return _PROMPTS.get(self.input_type or "", "")


class ClassifyRequest(_Activated):
    """Body of POST /v1/classify: texts or token ids as `input`, or the conversation `messages`."""

    input: _Text | _Texts | Annotated[list[list[int]], Field(min_length=1)] | None = None
    messages: Annotated[list[Message], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _input_or_messages(self) -> ClassifyRequest:
        if (self.input is None) == (self.messages is None):
            raise ValueError("give either 'input' or 'messages'")
        return self

    def items(self) -> list[Any]:
        """Return the texts, each as text, token ids or messages for the chat template."""
        if self.messages is not None:
            return [[message.for_template() for message in self.messages]]
        return [self.input] if isinstance(self.input, str) else list(self.input or ())

    def texts(self) -> list[str]:
        """Return the texts of a request to a token classifier.

        Raises:
            ApiError: 400, these are token ids or a conversation.
        """
        found = self.items()
        if not all(isinstance(item, str) for item in found):
            raise ApiError(400, "a token classifier labels the words of texts: send them as text", param="input")
        return found


class ScoreRequest(_Activated):
    """Body of POST /v1/score: one text and many, or as many of each."""

    text_1: _Text | _Texts | None = None
    text_2: _Text | _Texts | None = None
    queries: _Text | _Texts | None = None
    documents: _Text | _Texts | None = None
    data_1: _Text | _Texts | None = None
    data_2: _Text | _Texts | None = None
    items: _Text | _Texts | None = None

    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs.

        Raises:
            ApiError: 400, the two sides are not one text and many, or as many of each.
        """
        sides = [(self.text_1, self.text_2), (self.data_1, self.data_2), (self.queries, self.documents), (self.queries, self.items)]
        given = [(one, other) for one, other in sides if one is not None and other is not None]
        if len(given) != 1:
            raise ApiError(400, "give either 'text_1' and 'text_2', or 'queries' and 'documents'", param="text_1")
        one, other = ([side] if isinstance(side, str) else side for side in given[0])
        if len(one) not in (1, len(other)):
            raise ApiError(
                400, f"{len(one)} and {len(other)} texts make no pairs: give one text and many, or as many of each", param="text_1"
            )
        return list(zip(one * len(other) if len(one) == 1 else one, other, strict=True))


class Document(RequestBody):
    """A document with its text in a field."""

    text: _Text


class RerankRequest(_Activated):
    """Body of POST /v1/rerank. `top_n` of 0 or null returns all documents."""

    query: _Text
    documents: Annotated[list[_Text | Document], Field(min_length=1)]
    top_n: Annotated[int, Field(ge=0)] | None = None
    return_documents: bool | None = None

    def texts(self) -> list[str]:
        """Return the text of each document."""
        return [each if isinstance(each, str) else each.text for each in self.documents]
