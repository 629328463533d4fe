"""Which tokens of a conversation are supervised: what the model must say at inference, and no other.

That is every token after the generation prompt up to the end-of-turn token of each of the assistant's turns (`swift_train.turns`).
Turns are learned together in one sequence as far as the conversation still holds them as they were said. A template that rewrites
earlier turns (Qwen3 drops their thoughts, gpt-oss ends them with another token) gives several sequences, each turn in one that ends
at a moment when it stood so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import UsageError
from swift_train.chat_template import ChatTemplate
from swift_train.tokenise import Span, SupervisedText
from swift_train.turns import Turn, check_everything, check_shown, locate

if TYPE_CHECKING:
    from swift_data.rows import ChatRow
    from transformers import PreTrainedTokenizerBase

    from swift_train.options import MaskOptions


class ChatEncoder:
    """Conversation → texts with what is supervised in them, by a tokenizer's chat template.

    Args:
        stops: end-of-turn tokens of the model's family.

    Raises:
        UsageError: as `ChatTemplate`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, mask: MaskOptions, stops: Sequence[str] = ()) -> None:
        self.template, self.mask = ChatTemplate(tokenizer, stops), mask

    def __call__(self, row: ChatRow) -> list[SupervisedText]:
        """Render a conversation: one text, or several where the template rewrites earlier turns.

        Raises:
            UsageError: the template refuses the conversation, leaves a part of it out, or the supervised text can't be told.
        """
        _text_only(row)
        template = self.template.for_row(row)
        if self.mask.turns == "everything":
            text = template.render(row.messages, row.tools)
            check_everything(text, row.messages, row.tools)
            return [SupervisedText(text, (Span(0, len(text), 1.0),))]
        learned = self.supervised_messages(row)
        if not learned:
            raise UsageError("nothing in this row is learned: each of the assistant's messages has a loss of 0", hint="Leave the row out.")
        turns = [(locate(template, row.messages, row.tools, index), row.messages[index].get("loss_scale", 1.0)) for index in learned]
        check_shown("\n".join(turn.text for turn, _ in turns), row.messages[: learned[-1]], row.tools)
        return list(self._joined(turns))

    def supervised_messages(self, row: ChatRow) -> list[int]:
        """The places of the messages that are learned."""
        spoken = [index for index, message in enumerate(row.messages) if message["role"] == "assistant"]
        wanted = spoken[-1:] if self.mask.turns == "last" else spoken
        return [index for index in wanted if row.messages[index].get("loss_scale", 1.0) > 0]

    def _joined(self, turns: Sequence[tuple[Turn, float]]) -> list[SupervisedText]:
        """As few texts as hold every turn as it was said, shortest first."""
        scripts: list[SupervisedText] = []
        rest = list(turns)
        while rest:
            text = rest[-1][0].text
            held = [turn for turn in rest if text.startswith(turn[0].text[: turn[0].stop])]
            rest = [turn for turn in rest if turn not in held]
            scripts.append(SupervisedText(text, tuple(Span(turn.start, self._stop(turn, text), float(weight)) for turn, weight in held)))
        return scripts[::-1]

    def _stop(self, turn: Turn, text: str) -> int:
        if self.mask.end == "turn":
            return turn.stop
        blank = len(text) - turn.stop - len(text[turn.stop :].lstrip())
        return turn.stop + min(turn.tail - turn.stop, blank)


def pieces(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], supervised: Sequence[bool]) -> list[dict[str, Any]]:
    """The row for people: stretches of text that are all supervised or all not, `{"text": …, "supervised": …}`."""
    parts: list[dict[str, Any]] = []
    start = 0
    for stop in range(1, len(ids) + 1):
        if stop == len(ids) or supervised[stop] != supervised[start]:
            parts.append({"text": tokenizer.decode(list(ids[start:stop])), "supervised": bool(supervised[start])})
            start = stop
    return parts


def _text_only(row: ChatRow) -> None:
    for number, message in enumerate(row.messages, 1):
        content = message.get("content")
        if isinstance(content, list | tuple) and (kinds := sorted({part.get("type", "?") for part in content} - {"text"})):
            raise UsageError(
                f"message {number} holds {' and '.join(kinds)}, and this task learns from text alone", hint="Leave such rows out."
            )
