"""The encoders of plain texts (pretrain) and of conversations (sft): what of a row is supervised, and whether its tokens show that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swift_data.rows import ChatRow, TextRow, normalise
from swift_data.rows.conversations import with_default_system
from swift_data.unread import Unread

from swift_train.mask_check import MaskError, check_turns
from swift_train.template_encoder import TemplateEncoder
from swift_train.tokenise import Encoded, SupervisedText, Tokeniser
from swift_train.unread import ControlTokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from swift_core.contract import RawRow


class ChatEncoder(TemplateEncoder):
    """Chat rows, rendered by the model's chat template."""

    rows = "chat"

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """Return the turns of a row, with what is supervised of them."""
        row = self._row(raw)
        made = self.encode(row)
        self.unread.add(row)
        return made

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Compare the mask of a row with the prompts that an engine would send."""
        if self.encode.mask.turns != "everything":
            check_turns(self.encode, self._row(raw), sequences)

    def _row(self, raw: RawRow) -> ChatRow:
        row = normalise(raw, ("chat",), media_folder=self.media)
        assert isinstance(row, ChatRow)
        return replace(row, messages=with_default_system(row.messages, self.system))


class TextEncoder:
    """Texts, each with the tokenizer's start and end-of-text tokens."""

    settings: Mapping[str, Any] = {"rows": "text"}

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokeniser = Tokeniser(tokenizer)
        self.unread, self._control = Unread(), ControlTokens(tokenizer)

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """Return the text of a row, supervised as a whole."""
        row = normalise(raw, ("text",))
        assert isinstance(row, TextRow)
        self.unread.add(row.unread, self._control.of([row.text]))
        return [SupervisedText(row.text, (), whole=True)]

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Check that a text ends with the end-of-text token."""
        end = self.tokeniser.tokenizer.eos_token_id
        if any(encoded.ids[-1] != end for encoded in sequences):
            raise MaskError("a text does not end with the end-of-text token", code="TRAIN-073")
