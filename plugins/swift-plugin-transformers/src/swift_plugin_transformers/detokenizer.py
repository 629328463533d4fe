"""Incremental detokenization with log-probabilities, and the tokens that end a completion."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from swift_http import Piece, Sampling, Token
from torch import Tensor

Put = Callable[[Piece], None]

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")  # a token that is one byte, in SentencePiece vocabularies


def _byte_alphabet() -> dict[str, int]:
    """Return the byte of each character in byte-level vocabularies: printable Latin-1 is itself, the rest is from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + number): byte for number, byte in enumerate(others)}


_BYTE_ALPHABET = _byte_alphabet()


class Writer:
    """Turns the tokens of one completion into pieces.

    Args:
        tokenizer: the model's tokenizer.
        eos_token_ids: ids of the tokens that end the completion; their text is left out.
        sampling: decides whether pieces have log-probabilities and whether special tokens are part of the text.
        put: called with each piece.
    """

    def __init__(self, tokenizer: Any, eos_token_ids: frozenset[int], sampling: Sampling, put: Put) -> None:
        self._text = Detokenizer(tokenizer, special=sampling.keep_special_tokens)
        self._tokenizer = tokenizer
        self._eos_token_ids = eos_token_ids
        self._top = sampling.logprobs
        self._put = put
        self._last: int | None = None

    @property
    def ended(self) -> bool:
        """True if the last token was an end-of-sequence token."""
        return self._last in self._eos_token_ids

    def token(self, token: int, logits: Tensor | None) -> None:
        """Add a token; `logits` are the unprocessed logits at its position, (vocabulary,), needed for log-probabilities."""
        self._last = token
        text = "" if self.ended else self._text.push(token)
        entry = Token(token, "") if self._top is None or logits is None else token_of(self._tokenizer, token, logits, self._top)
        self._put(Piece(text, (entry,)))

    def finish(self) -> None:
        """Put the last piece: the remaining text and the finish reason."""
        self._put(Piece(self._text.flush(), (), "stop" if self.ended else "length"))


class Detokenizer:
    """Incremental detokenizer: a character that spans several tokens is returned once it is complete."""

    def __init__(self, tokenizer: Any, *, special: bool = False) -> None:
        self._tokenizer = tokenizer
        self._special = special
        self._ids: list[int] = []
        self._start = 0  # first token of the window that is decoded together, so that spaces between tokens are right
        self._returned = 0  # number of tokens whose text was returned

    def push(self, token: int) -> str:
        """Add a token and return the text that is complete now."""
        self._ids.append(token)
        text = self._new()
        if not text or text.endswith("\ufffd"):
            return ""
        self._start, self._returned = self._returned, len(self._ids)
        return text

    def flush(self) -> str:
        """Return the remaining text, including an incomplete character."""
        text = self._new()
        self._returned = len(self._ids)
        return text

    def _new(self) -> str:
        return self._decode(self._ids[self._start :])[len(self._decode(self._ids[self._start : self._returned])) :]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=not self._special, clean_up_tokenization_spaces=False))


def token_text(tokenizer: Any, token: int) -> str:
    """Return the text of a token, with its leading space; bytes that are no whole character are surrogate escapes (PEP 383).

    `tokenizer.decode` loses both: SentencePiece decoders remove the space of the first token, and a part of a character becomes U+FFFD.
    """
    piece = tokenizer.convert_ids_to_tokens(token)
    if token in tokenizer.added_tokens_decoder or not isinstance(piece, str):
        return str(tokenizer.decode([token], clean_up_tokenization_spaces=False))
    if byte := _BYTE.fullmatch(piece):
        return bytes([int(byte[1], 16)]).decode("utf-8", "surrogateescape")
    decoder = _decoder(tokenizer)
    if "ByteLevel" in decoder and all(character in _BYTE_ALPHABET for character in piece):
        return bytes(_BYTE_ALPHABET[character] for character in piece).decode("utf-8", "surrogateescape")
    if "\u2581" in decoder:
        return piece.replace("\u2581", " ")
    return str(tokenizer.decode([token], clean_up_tokenization_spaces=False))


@lru_cache(maxsize=4)
def _decoder(tokenizer: Any) -> str:
    """Return the definition of the tokenizer's decoder as JSON text; for one of the sentencepiece library, the space mark."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return "\u2581" if hasattr(tokenizer, "sp_model") else ""
    return json.dumps(json.loads(backend.decoder.__getstate__()), ensure_ascii=False) if backend.decoder else ""


def token_of(tokenizer: Any, token: int, logits: Tensor, top: int) -> Token:
    """Return a token with its log-probability and the `top` most likely alternatives, from the logits at its position, (vocabulary,)."""
    logprobs = logits.float().log_softmax(-1)
    alternatives: tuple[tuple[str, float], ...] = ()
    if top:
        values, ids = logprobs.topk(min(top, len(logprobs)))
        alternatives = tuple((token_text(tokenizer, other), value) for value, other in zip(values.tolist(), ids.tolist(), strict=True))
    return Token(token, token_text(tokenizer, token), float(logprobs[token]), alternatives)


def context_length(model: Any, tokenizer: Any) -> int:
    """Return the context length: the positions of the model or its decoder, else the tokenizer's `model_max_length`, at most a million."""
    config = model.config.get_text_config()
    found = (getattr(config, name, None) for name in ("max_position_embeddings", "max_target_positions"))
    return int(next((value for value in found if value), None) or min(tokenizer.model_max_length, 1_000_000))


def find_eos_token_ids(model: Any, tokenizer: Any, names: Sequence[str] = ()) -> tuple[int, ...]:
    """Return the ids that end a completion: of the generation config, the tokenizer, `names`, and the chat template's end of turn."""
    own = model.generation_config.eos_token_id
    vocabulary = tokenizer.get_vocab()
    found = {
        *(own if isinstance(own, list) else [own]),
        tokenizer.eos_token_id,
        end_of_turn_id(tokenizer),
        *(vocabulary.get(name) for name in names),
    }
    return tuple(sorted(token for token in found if token is not None))


def end_of_turn_id(tokenizer: Any) -> int | None:
    """Return the id of the special token that the chat template writes right after an assistant message, or None."""
    if not tokenizer.chat_template:
        return None
    mark = "MARK"
    try:
        text = tokenizer.apply_chat_template([{"role": "user", "content": "a"}, {"role": "assistant", "content": mark}], tokenize=False)
    except Exception:  # a template may raise any exception
        return None
    ids = tokenizer.encode(text.rpartition(mark)[2], add_special_tokens=False)
    return ids[0] if ids and ids[0] in tokenizer.added_tokens_decoder else None
