"""The base of encoders that render conversations with the model's chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from swift_train.masks import ChatEncoder
from swift_train.media.rows import RowMedia
from swift_train.template_date import date_of, renders_date
from swift_train.tokenise import Tokeniser
from swift_train.unread import UnreadFields

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from swift_train.mask_options import MaskOptions
    from swift_train.options import ChatOptions


class TemplateEncoder:
    """Set up what every encoder of conversations has; a subclass adds `texts` and `check` (`swift_train.tasks.Encoder`).

    Args:
        tokeniser: of the texts.
        options: of the task.
        mask: which turns are supervised, and where a turn ends.
        stops: end-of-turn tokens of the model's family.
        media: where media files are, and the processor of a multimodal model.

    Attributes:
        rows: kind of the rows.
        encode: renders a conversation.
        media: folder of the media files; None for the row's own folder.
        system: default system prompt.
    """

    rows: ClassVar[str]

    def __init__(self, tokeniser: Tokeniser, options: ChatOptions, mask: MaskOptions, stops: Sequence[str], media: RowMedia | None) -> None:
        tokenizer: PreTrainedTokenizerBase = tokeniser.tokenizer
        media = media or RowMedia()
        self.tokeniser, self.media, self.system = tokeniser, media.folder, options.system
        date = date_of(tokenizer) if renders_date(tokenizer) else ""
        self.settings: Mapping[str, Any] = {
            "rows": self.rows, "mask": mask.model_dump(), "stops": list(stops), "date": date, "system": self.system,
            "processor": media.processor.settings if media.processor else {},
        }  # fmt: skip
        self.encode = ChatEncoder(tokenizer, mask, stops, media)
        self.unread = UnreadFields(self.encode.template)
