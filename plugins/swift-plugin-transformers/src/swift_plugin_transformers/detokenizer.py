"""Token ids → text as an answer grows, with log-probabilities, and what ends an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from swift_http import Piece, Sampling, Token
from torch import Tensor

Put = Callable[[Piece], None]


class Writer:
    """Turns the tokens of one answer into pieces.

    Args:
        tokenizer: the model's.
        ends: ids of the tokens that end an answer, which have no part in its text.
        sampling: says whether tokens come with log-probabilities, and whether control tokens are part of the text.
        put: what takes the pieces.
    """

    def __init__(self, tokenizer: Any, ends: frozenset[int], sampling: Sampling, put: Put) -> None:
        self._text = Detokenizer(tokenizer, special=sampling.keep_special_tokens)
        self._tokenizer = tokenizer
        self._ends = ends
        self._top = sampling.logprobs
        self._put = put
        self._last: int | None = None

    @property
    def ended(self) -> bool:
        """Whether the last token was one that ends the answer."""
        return self._last in self._ends

    def token(self, token: int, logits: Tensor | None) -> None:
        """One more token; `logits` are the model's own in its place, shape (vocabulary,), where log-probabilities are wanted."""
        self._last = token
        text = "" if self.ended else self._text.push(token)
        said = Token(token, "") if self._top is None or logits is None else token_of(self._tokenizer, token, logits, self._top)
        self._put(Piece(text, (said,)))

    def finish(self) -> None:
        """The last piece: the rest of the text, and why it ended."""
        self._put(Piece(self._text.flush(), (), "stop" if self.ended else "length"))


class Detokenizer:
    """Token ids → text as it grows. A character that is spread over several tokens comes when it is whole."""

    def __init__(self, tokenizer: Any, *, special: bool = False) -> None:
        self._tokenizer = tokenizer
        self._special = special
        self._ids: list[int] = []
        self._start = 0  # of the tokens that are decoded together, so that spaces between them come out right
        self._shown = 0  # tokens whose text was given

    def push(self, token: int) -> str:
        """The text that is certain now."""
        self._ids.append(token)
        text = self._new()
        if not text or text.endswith("\ufffd"):
            return ""
        self._start, self._shown = self._shown, len(self._ids)
        return text

    def flush(self) -> str:
        """What is left at the end, a broken character too."""
        text = self._new()
        self._shown = len(self._ids)
        return text

    def _new(self) -> str:
        return self._decode(self._ids[self._start :])[len(self._decode(self._ids[self._start : self._shown])) :]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=not self._special, clean_up_tokenization_spaces=False))


def token_of(tokenizer: Any, token: int, logits: Tensor, top: int) -> Token:
    """A token with its log-probability and the `top` likeliest, from the logits of its position, shape (vocabulary,)."""
    logprobs = logits.float().log_softmax(-1)
    likeliest: tuple[tuple[str, float], ...] = ()
    if top:
        values, ids = logprobs.topk(min(top, len(logprobs)))
        likeliest = tuple((tokenizer.decode([other]), value) for value, other in zip(values.tolist(), ids.tolist(), strict=True))
    return Token(token, tokenizer.decode([token]), float(logprobs[token]), likeliest)


def context_of(model: Any, tokenizer: Any) -> int:
    """Most tokens that the model takes: its positions, else what its tokenizer says, else a million."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(positions or min(tokenizer.model_max_length, 1_000_000))


def end_tokens(model: Any, tokenizer: Any, names: Sequence[str] = ()) -> tuple[int, ...]:
    """Ids that end an answer: those of the generation config, the tokenizer's, `names`, and what the chat template puts after an answer."""
    own = model.generation_config.eos_token_id
    known = tokenizer.get_vocab()
    found = {
        *(own if isinstance(own, list) else [own]),
        tokenizer.eos_token_id,
        end_of_turn(tokenizer),
        *(known.get(name) for name in names),
    }
    return tuple(sorted(token for token in found if token is not None))


def end_of_turn(tokenizer: Any) -> int | None:
    """The control token that the chat template writes right after an assistant's words, if it writes one."""
    if not tokenizer.chat_template:
        return None
    mark = "MARK"
    try:
        text = tokenizer.apply_chat_template([{"role": "user", "content": "a"}, {"role": "assistant", "content": mark}], tokenize=False)
    except Exception:  # a template may refuse anything, in any way
        return None
    ids = tokenizer.encode(text.rpartition(mark)[2], add_special_tokens=False)
    return ids[0] if ids and ids[0] in tokenizer.added_tokens_decoder else None
