"""Rows as token ids with the tokens that count, in windows of bounded length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from swift_data.rows import ChatRow, TextRow, normalise
from swift_evaluate.rows.files import SourceRow
from swift_train.masks import ChatEncoder
from swift_train.options import MaskOptions
from swift_train.tokenise import Tokeniser

from swift_core.contract import RawRow, UsageError


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a row. `counted` are the positions whose token is predicted; position 0 follows the start token."""

    ids: list[int]
    counted: list[bool]
    text: str


@dataclass(frozen=True, slots=True)
class Window:
    """Token ids, and how many of the last ones are predicted from those before; `counted` is about these."""

    ids: list[int]
    counted: list[bool]


class RowEncoder:
    """Encodes text rows as they are, and chat rows with the checkpoint's template; of a conversation, the assistant's turns count.

    Args:
        tokenizer: the checkpoint's tokenizer.
        stops: end-of-turn tokens of the model's family.
        turns: which turns of the assistant count.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str], *, turns: str = "all") -> None:
        self.tokenizer, self._stops = tokenizer, stops
        self._mask = MaskOptions.checked({"turns": turns})
        first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        self.first = int(first)

    def encode(self, source: SourceRow) -> Tokens:
        """Return the tokens of a row.

        Raises:
            UsageError: the row is neither text nor a conversation, or the template can't render it.
        """
        row = normalise(RawRow(source.data, str(source.file), source.number), ("text", "chat"))
        if isinstance(row, TextRow):
            ids = self.tokenizer(row.text, add_special_tokens=False, verbose=False)["input_ids"]
            return Tokens(list(ids), [True] * len(ids), row.text)
        assert isinstance(row, ChatRow)
        return self.conversation(row)

    def conversation(self, row: ChatRow) -> Tokens:
        """Return the tokens of a conversation."""
        texts = ChatEncoder(self.tokenizer, self._mask, self._stops)(row)
        ids: list[int] = []
        counted: list[bool] = []
        for found in Tokeniser(self.tokenizer)(texts):
            if isinstance(found, UsageError):
                raise found
            for encoded in found:
                inside = [False] * len(encoded.ids)
                for start, stop, weight in encoded.spans:
                    inside[start:stop] = [weight != 0] * (stop - start)
                ids += encoded.ids.tolist()
                counted += inside
        return Tokens(ids, counted, "\n".join(text.text for text in texts))

    def windows(self, tokens: Tokens, length: int) -> Iterator[Window]:
        """Yield windows in which every token is predicted once, from up to `length` tokens before it.

        They are those of lm-eval's rolling log-likelihood: the first token follows the start token, and the last window reaches back.
        """
        ids, done = [self.first, *tokens.ids], 0
        while done < len(tokens.ids):
            end = min(done + length, len(tokens.ids))
            start = max(0, end - length)
            yield Window(ids[start : end + 1], tokens.counted[done:end])
            done = end
