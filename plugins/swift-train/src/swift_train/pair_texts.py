"""A query and a document as one sequence of tokens: by a chat template with these roles, or by the tokenizer's own encoding of pairs.

Both are sentence-transformers' ways: its CrossEncoder renders a pair as a message of role `query` and one of role `document` if the model
has a chat template, and passes two texts to the tokenizer otherwise, as BERT's wants them. vLLM's `--chat-template` gets the same messages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_QUERY, _DOCUMENT = "QUERY7f3a", "DOCUMENT7f3a"  # in place of the texts, while a template is made
_CONTENT = "{{{{ (messages | selectattr('role', 'equalto', '{}') | list)[0].content }}}}"
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)  # Qwen3-Reranker's, arXiv:2506.05176


class Pair(NamedTuple):
    """The tokens of a pair.

    Attributes:
        ids: token ids.
        second: index of the first token of the second segment, for models with two kinds of segments (BERT); 0 for others.
    """

    ids: list[int]
    second: int = 0


class PairTexts:
    """Encode pairs of a query and a document.

    Args:
        tokenizer: fast.

    Attributes:
        templated: whether the chat template renders pairs; otherwise the tokenizer encodes them.
        segments: whether the tokenizer gives the two texts different types.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.templated = renders_pairs(tokenizer)
        self.segments = not self.templated and any(tokenizer("a", "b").get("token_type_ids") or ())

    def text(self, query: str, document: str) -> str:
        """Return the rendered text of a pair, if the chat template renders pairs."""
        return str(self._tokenizer.apply_chat_template(_messages(query, document), tokenize=False))

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Pair]:
        """Return the tokens of each pair."""
        if self.templated:
            made: Any = self._tokenizer([self.text(*pair) for pair in pairs], add_special_tokens=False, verbose=False)
            return [Pair(list(ids)) for ids in made["input_ids"]]
        made = self._tokenizer([query for query, _ in pairs], [document for _, document in pairs], verbose=False)
        types = made.get("token_type_ids") if self.segments else None
        return [Pair(list(ids), types[number].index(1) if types else 0) for number, ids in enumerate(made["input_ids"])]

    def fitted(self, pairs: Sequence[tuple[str, str]], limit: int | None) -> list[Pair]:
        """Return the tokens of each pair; with a limit, documents of longer pairs are cut at their end."""
        made = self(pairs)
        for place, (query, document) in enumerate(pairs if limit else ()):
            ids = list(self._tokenizer(document, add_special_tokens=False, verbose=False)["input_ids"])
            while limit and len(made[place].ids) > limit and ids:
                ids = ids[: limit - len(made[place].ids)]
                (made[place],) = self([(query, str(self._tokenizer.decode(ids)))])
        return made


def renders_pairs(tokenizer: PreTrainedTokenizerBase, *, roles: tuple[str, str] = ("query", "document")) -> bool:
    """Return whether the chat template renders the contents of messages of these roles."""
    if not tokenizer.chat_template:
        return False
    messages = [{"role": role, "content": text} for role, text in zip(roles, (_QUERY, _DOCUMENT), strict=True)]
    try:
        text = str(tokenizer.apply_chat_template(messages, tokenize=False))
    except Exception:  # templates may raise any exception
        return False
    return _QUERY in text and _DOCUMENT in text


def made_for_pairs(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the chat template knows the roles `query` and `document`; some, such as ChatML's, write any role as it is."""
    return renders_pairs(tokenizer) and not renders_pairs(tokenizer, roles=("one", "other"))


def separates_pairs(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the tokenizer writes special tokens between two texts, as BERT's."""
    made = list(tokenizer("a", "b")["input_ids"])
    one, other = (list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ("a", "b"))
    place = made.index(one[-1]) if one and one[-1] in made else len(made)
    return made[place + 1 :][: len(other)] != other


def pair_template(
    tokenizer: PreTrainedTokenizerBase, *, instruction: str = "", system: str = "", variables: Mapping[str, Any] | None = None
) -> str:
    """Return a chat template for pairs, made from the model's own: the pair is a user message, before the answer's beginning.

    Args:
        tokenizer: of the model; without a chat template, the text has no roles.
        instruction: what makes a document relevant, in the text of each pair; default `INSTRUCTION`.
        system: system prompt; default `SYSTEM`.
        variables: of the model's own chat template.

    Raises:
        UsageError: the model's chat template does not render such a conversation.
    """
    asked = f"<Instruct>: {instruction or INSTRUCTION}\n<Query>: {_QUERY}\n<Document>: {_DOCUMENT}"
    text = f"{system or SYSTEM}\n{asked}\n<Relevant>:"
    if tokenizer.chat_template:
        user = {"role": "user", "content": asked}
        given = dict(variables or {})
        try:
            text = _rendered(tokenizer, [{"role": "system", "content": system or SYSTEM}, user], given)
        except Exception:  # a template without system prompts may raise any exception
            text = _rendered(tokenizer, [{"role": "user", "content": f"{system or SYSTEM}\n{asked}"}], given)
    if text.count(_QUERY) != 1 or text.count(_DOCUMENT) != 1:
        message = "the chat template does not render a user message with a query and a document"
        raise UsageError(message, code="TRAIN-161", where="model", hint="Give one with the roles query and document: --chat-template FILE.")
    before, _, rest = text.partition(_QUERY)
    between, _, after = rest.partition(_DOCUMENT)
    return "".join((_literal(before), _CONTENT.format("query"), _literal(between), _CONTENT.format("document"), _literal(after)))


def _rendered(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], variables: Mapping[str, Any]) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **variables))


def _messages(query: str, document: str) -> list[dict[str, str]]:
    return [{"role": "query", "content": query}, {"role": "document", "content": document}]


def _literal(text: str) -> str:
    """Return a text as a Jinja expression, so that nothing in it is read as Jinja."""
    return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" if text else ""
