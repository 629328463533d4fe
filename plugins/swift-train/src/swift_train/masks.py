"""The loss mask of conversations: exactly the tokens that the model must generate at inference are supervised.

Those are the tokens of each assistant turn, from the end of the generation prompt through the end-of-turn token (`swift_train.turns`).
Turns share one sequence if the rendered conversation still contains them as they were generated. A template that rewrites earlier turns
(Qwen3 removes their reasoning, gpt-oss ends them with another token) yields several sequences, each turn in one in which it is unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError
from swift_train import token_weights
from swift_train.chat_template import ChatTemplate
from swift_train.media.placeholders import check_places, expand
from swift_train.media.rows import RowMedia
from swift_train.tokenise import Span, SupervisedText
from swift_train.turns import Turn, check_everything, check_shown, locate

if TYPE_CHECKING:
    from swift_data.rows import ChatRow
    from transformers import PreTrainedTokenizerBase

    from swift_train.mask_options import MaskOptions


class ChatEncoder:
    """Render conversations as texts with supervised spans, through a tokenizer's chat template.

    Args:
        tokenizer: with a chat template.
        mask: which turns are supervised, and where a turn ends.
        stops: end-of-turn tokens of the model's family.
        media: the model's processor; without one, rows with media are refused.

    Raises:
        UsageError: see `ChatTemplate`.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, mask: MaskOptions, stops: Sequence[str] = (), media: RowMedia | None = None
    ) -> None:
        self.template, self.mask, self.media = ChatTemplate(tokenizer, stops), mask, media or RowMedia()
        self.patterns = token_weights.patterns(mask.weights)

    def __call__(self, row: ChatRow) -> list[SupervisedText]:
        """Render a conversation as one text, or as several if the template rewrites earlier turns.

        Raises:
            UsageError: the template raises an error, omits a part of the conversation, or the supervised text can't be determined; a media
                file is damaged.
        """
        if self.media.processor is None:
            self.media.files(row.messages)  # refuse media by name, before a template of text fails on them
        return self.with_media(row, self._texts(row))

    def with_media(self, row: ChatRow, texts: list[SupervisedText]) -> list[SupervisedText]:
        """Return rendered texts of a conversation with the placeholders of its media expanded.

        Raises:
            UsageError: the template omits a file, or one is damaged.
        """
        files, processor = self.media.files(row.messages), self.media.processor
        if processor is None or not (files or any(token in texts[-1].text for token in processor.placeholders.values())):
            return texts
        check_places(self.template.for_row(row).render(row.messages, row.tools), [file.kind for file in files], processor.placeholders)
        return [expand(text, files, processor.placeholders, processor.replacement) for text in texts]

    def _texts(self, row: ChatRow) -> list[SupervisedText]:
        """Return the texts with placeholders of the media as the template writes them."""
        template = self.template.for_row(row)
        if self.mask.turns == "everything":
            text = template.render(row.messages, row.tools)
            check_everything(text, row.messages, row.tools)
            return [SupervisedText(text, (Span(0, len(text), 1.0),))]
        supervised = self.supervised_messages(row)
        if not supervised:
            raise UsageError(
                "no token of this row is supervised: each assistant message has loss_scale 0", code="TRAIN-038", hint="Remove the row."
            )
        turns = [(locate(template, row.messages, row.tools, index), row.messages[index].get("loss_scale", 1.0)) for index in supervised]
        check_shown("\n".join(turn.text for turn, _ in turns), row.messages[: supervised[-1]], row.tools)
        return list(self._joined(turns))

    def prompt_ids(self, row: ChatRow, index: int) -> list[int]:
        """Return the token ids of the prompt of message `index`, tokenised by itself; with media, by the model's processor."""
        text = self.template.for_row(row).render(row.messages[:index], row.tools, prompt=True)
        if files := self.media.files(row.messages[:index]):
            assert self.media.processor is not None
            contents = [self.media.processor.load(file.kind, file.path) for file in files]
            found: list[int] = self.media.processor.encode(text, contents)["input_ids"][0].tolist()
            return found
        return list(self.template.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def supervised_messages(self, row: ChatRow) -> list[int]:
        """Return the indices of the supervised messages."""
        answers = [index for index, message in enumerate(row.messages) if message["role"] == "assistant"]
        selected = answers[-1:] if self.mask.turns == "last" else answers
        return [index for index in selected if row.messages[index].get("loss_scale", 1.0) > 0]

    def _joined(self, turns: Sequence[tuple[Turn, float]]) -> list[SupervisedText]:
        """Return the fewest texts that contain every turn as it was generated, shortest first."""
        texts: list[SupervisedText] = []
        rest = list(turns)
        while rest:
            text = rest[-1][0].text
            held = [turn for turn in rest if text.startswith(turn[0].text[: turn[0].stop])]
            rest = [turn for turn in rest if turn not in held]
            spans = tuple(Span(turn.start, self._stop(turn, text), float(weight)) for turn, weight in held)
            weighted = tuple(each for span in spans for each in token_weights.spans(text, span, self.patterns)) if self.patterns else ()
            texts.append(SupervisedText(text, spans, weighted=weighted))
        return texts[::-1]

    def _stop(self, turn: Turn, text: str) -> int:
        if self.mask.end == "turn":
            return turn.stop
        blank = len(text) - turn.stop - len(text[turn.stop :].lstrip())
        return turn.stop + min(turn.tail - turn.stop, blank)


def pieces(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], supervised: Sequence[bool]) -> list[dict[str, Any]]:
    """Split a row into runs of supervised and unsupervised text for display: `{"text": …, "supervised": …}`."""
    parts: list[dict[str, Any]] = []
    start = 0
    for stop in range(1, len(ids) + 1):
        if stop == len(ids) or supervised[stop] != supervised[start]:
            parts.append({"text": tokenizer.decode(list(ids[start:stop])), "supervised": bool(supervised[start])})
            start = stop
    return parts
