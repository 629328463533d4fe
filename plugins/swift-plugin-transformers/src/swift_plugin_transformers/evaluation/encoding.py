"""Rows as token ids with the tokens that count, in windows of bounded length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from swift_data.rows import ChatRow, TextRow, normalise
from swift_evaluate.rows.files import SourceRow
from swift_train.mask_options import MaskOptions
from swift_train.masks import ChatEncoder
from swift_train.tokenise import Tokeniser

from swift_core.contract import RawRow, UsageError


@dataclass(frozen=True, slots=True)
class Sequence:
    """Token ids, and for each one but the first whether its prediction counts."""

    ids: list[int]
    counted: list[bool]

    def windows(self, length: int) -> Iterator[Sequence]:
        """Yield windows in which every token is predicted once, each from up to `length` tokens before it.

        `counted` of a window is about its last tokens alone. As in lm-eval's rolling log-likelihood, the last window reaches back.
        """
        done = 0
        while done < len(self.counted):
            end = min(done + length, len(self.counted))
            yield Sequence(self.ids[max(0, end - length) : end + 1], self.counted[done:end])
            done = end


class RowEncoder:
    """Encodes text rows as they are, and chat rows with the checkpoint's template; of a conversation, the assistant's turns count.

    Args:
        tokenizer: the checkpoint's tokenizer.
        stops: end-of-turn tokens of the model's family.
        turns: which turns of the assistant count: all, or last.
    """

    def __init__(self, tokenizer: Any, stops: Iterable[str], *, turns: str = "all") -> None:
        self.tokenizer, self._stops = tokenizer, tuple(stops)
        self._mask = MaskOptions.checked({"turns": turns})
        self.first = int(tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id)

    @cached_property
    def _chats(self) -> ChatEncoder:
        return ChatEncoder(self.tokenizer, self._mask, self._stops)

    @cached_property
    def _tokeniser(self) -> Tokeniser:
        return Tokeniser(self.tokenizer)

    def encode(self, source: SourceRow) -> tuple[list[Sequence], int]:
        """Return the sequences of a row, and the bytes of its text (0 for a conversation). A text follows the start token.

        Raises:
            UsageError: the row is neither text nor a conversation, or the template can't render it.
        """
        row = normalise(RawRow(source.data, str(source.file), source.number), ("text", "chat"))
        if isinstance(row, TextRow):
            ids = self.tokenizer(row.text, add_special_tokens=False, verbose=False)["input_ids"]
            return [Sequence([self.first, *ids], [True] * len(ids))], len(row.text.encode())
        assert isinstance(row, ChatRow)
        return self.conversation(row), 0

    def conversation(self, row: ChatRow) -> list[Sequence]:
        """Return the sequences of a conversation: one, or several if the template rewrites earlier turns."""
        sequences = []
        for found in self._tokeniser(self._chats(row)):
            if isinstance(found, UsageError):
                raise found
            for encoded in found:
                sequences.append(Sequence(encoded.ids.tolist(), (encoded.weights[1:] != 0).tolist()))
        return sequences
