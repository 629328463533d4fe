"""Texts as the inputs of a model with a head, as it was trained on them; for servers, clients and checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_data.entities import words
from swift_data.rows.conversations import with_default_system
from swift_formats.cross_encoder import LogitScore, logit_score_of
from swift_formats.head_facts import HeadFacts, head_facts
from swift_formats.sentence_transformers import Pooling, max_length_of, pooling_of

from swift_core.checkpoints import Checkpoint
from swift_core.contract import UsageError
from swift_train.pair_texts import Pair, PairTexts, separates_pairs
from swift_train.score_task import plain_text
from swift_train.token_targets import token_places, token_targets
from swift_train.tokenise import NO_TARGET, Target

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class ServedHead:
    """The head of a checkpoint, or of an adapter on its base.

    Attributes:
        kind: as in `TaskSpec.head`, without the number: hidden, score, token; "" for a language model.
        facts: what its numbers mean.
        pooling: how a vector is made; None if the checkpoint does not say.
        logit_score: the tokens that a language model is asked for as a reranker; None for other heads.
        limit: tokens of a text; None for the model's maximum.
    """

    kind: str
    facts: HeadFacts
    pooling: Pooling | None = None
    logit_score: LogitScore | None = None
    limit: int | None = None

    @property
    def served(self) -> bool:
        """True if it gives numbers for texts; otherwise it generates text."""
        return bool(self.kind or self.logit_score)

    @classmethod
    def of(cls, folder: Path, base: Path | None = None) -> ServedHead:
        """Read the head of a checkpoint folder; `base` is that of an adapter."""
        kind = (Checkpoint.at(folder).head or (Checkpoint.at(base).head if base else "")).partition(":")[0]
        if kind == "hidden":
            return cls(kind, HeadFacts(), pooling=pooling_of(folder), limit=max_length_of(folder))
        return cls(kind, head_facts(folder, base), logit_score=None if kind else logit_score_of(folder))


@dataclass(frozen=True, slots=True)
class TokenInput:
    """The tokens of a text for a head on each token.

    Attributes:
        ids: token ids.
        places: of each word or token that is labelled: its token's index, its start and its end in the text, in characters.
    """

    ids: list[int]
    places: tuple[tuple[int, int, int], ...]


class HeadInputs:
    """Tokenise texts, conversations and pairs.

    Args:
        tokenizer: fast; it is not thread-safe.
        head: of the checkpoint.

    Attributes:
        pairs: encodes pairs; None if the model was not made for pairs.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, head: ServedHead) -> None:
        self._tokenizer, self._head = tokenizer, head
        pairs, alone = PairTexts(tokenizer), head.kind == "token" or head.facts.input in ("text", "chat")
        self.pairs = None if alone else pairs if pairs.templated or (not tokenizer.chat_template and separates_pairs(tokenizer)) else None

    def text(self, item: str | Sequence[int] | Sequence[Mapping[str, Any]], prompt: str = "") -> Pair:
        """Return the tokens of a text, of token ids, or of a conversation; a text of a head on conversations is a user message.

        Args:
            item: the text.
            prompt: name of the model's prompt before the text: query, document, or "" for none.

        Raises:
            UsageError: it is a conversation, and the chat template is missing or rejects it.
        """
        if isinstance(item, str):
            if self._head.facts.input == "chat":
                return self._conversation([{"role": "user", "content": item}])
            prompts = self._head.pooling.prompts if self._head.pooling else {}
            return Pair(list(self._tokenizer(prompts.get(prompt, "") + item, verbose=False)["input_ids"]))
        if item and isinstance(item[0], Mapping):
            return self._conversation([dict(message) for message in item if isinstance(message, Mapping)])
        return Pair([int(token) for token in item if not isinstance(token, Mapping)])

    def tokens(self, text: str) -> TokenInput:
        """Return the tokens of a text whose words are labelled at their first tokens, or all of whose tokens are: as it was trained."""
        encoding: Any = self._tokenizer(text, verbose=False).encodings
        (found,) = encoding
        if self._head.facts.input != "words":
            places = [(token, *place) for token, place in enumerate(token_places(text, found)) if place[1] > place[0]]
            return TokenInput(list(found.ids), tuple(places))
        parts = [Target(start, stop, number, NO_TARGET) for number, (start, stop) in enumerate(words(text))]
        classes = token_targets(text, found, parts).classes
        labelled = [(token, int(number)) for token, number in enumerate(classes) if number != NO_TARGET]
        return TokenInput(list(found.ids), tuple((token, parts[number].start, parts[number].stop) for token, number in labelled))

    def _conversation(self, messages: list[dict[str, Any]]) -> Pair:
        if self._head.facts.input == "text":
            text = plain_text(with_default_system(tuple(messages), self._head.facts.system))
            return Pair(list(self._tokenizer(text, verbose=False)["input_ids"]))
        if not self._tokenizer.chat_template:
            message = "this model has no chat template"
            raise UsageError(message, code="SERVE-040", where="messages", hint="Send the text as 'input'.")
        tokenizer: Any = self._tokenizer
        try:
            text = tokenizer.apply_chat_template(list(with_default_system(tuple(messages), self._head.facts.system)), tokenize=False)
        except Exception as error:  # templates may raise any exception
            raise UsageError(f"the model's chat template rejects these messages: {error}", code="SERVE-007", where="messages") from None
        return Pair(list(self._tokenizer(str(text), add_special_tokens=False, verbose=False)["input_ids"]))
