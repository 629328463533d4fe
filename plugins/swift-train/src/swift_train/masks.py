"""Which tokens of a conversation are supervised, derived from the chat template's own renderings.

Learned is what the model must say at inference: every token after the generation prompt up to the end-of-turn token, and no other.
For the assistant's turn i of a conversation the template is asked three times:

    before  = the messages ahead of turn i, with the generation prompt     what the engine sends the model
    through = the messages up to and with turn i                           where the turn ends
    full    = all messages                                                 what is trained on

Where `before` and `through` are the beginnings of `full`, as text and token by token, the turn lies between them. Where they are
not (a template that rewrites earlier turns, a token that spans the border) nothing is guessed: it is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from swift_core.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from swift_core.conversations import Message
    from swift_core.rows import ChatRow
    from swift_train.options import MaskOptions

_PROBE = "∎"


class Encoded(NamedTuple):
    """Token ids, and for each whether it is supervised."""

    ids: list[int]
    supervised: list[bool]


class ChatEncoder:
    """Conversation → tokens with their mask, by a tokenizer's chat template.

    Raises:
        UsageError: the tokenizer has no chat template, or one that writes no end-of-turn token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, mask: MaskOptions) -> None:
        if not tokenizer.chat_template:
            raise UsageError(
                "the model has no chat template", where="model", hint="Start from its chat (instruct) version, or use swift pretrain."
            )
        self.tokenizer, self.mask = tokenizer, mask
        tail = self.render([{"role": "user", "content": "?"}, {"role": "assistant", "content": _PROBE}], None).rpartition(_PROBE)[2]
        self.end = tail.strip()
        if not self.end:
            raise UsageError(
                "the chat template writes nothing after the assistant's turn, so the model would never learn to stop", where="model"
            )

    def __call__(self, row: ChatRow) -> list[Encoded]:
        """Encode a conversation: one sequence, or with `turns: each` one a turn.

        Raises:
            UsageError: the template refuses the conversation, leaves a part of it out, or the supervised tokens can't be told.
        """
        spoken = [index for index, message in enumerate(row.messages) if message["role"] == "assistant"]
        supervised = [index for index in spoken if row.messages[index].get("loss", True)]
        if self.mask.turns == "each":
            return [self._encode(row.messages[: index + 1], row.tools, [index]) for index in supervised]
        return [
            self._encode(row.messages, row.tools, supervised if self.mask.turns == "all" else [i for i in supervised if i == spoken[-1]])
        ]

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None, *, prompt: bool = False) -> str:
        """The conversation as text; with `prompt`, up to where the assistant begins to speak."""
        from jinja2 import TemplateError

        tidy = [{key: value for key, value in message.items() if key != "loss"} for message in messages]
        given: Any = [dict(tool) for tool in tools] if tools else None
        try:
            return str(self.tokenizer.apply_chat_template(tidy, tools=given, add_generation_prompt=prompt, tokenize=False))
        except (TemplateError, TypeError, IndexError, KeyError) as error:
            raise UsageError(f"the chat template refuses the conversation: {error}", hint="Change the row, or leave it out.") from error

    def _encode(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None, turns: Sequence[int]) -> Encoded:
        full = self.render(messages, tools)
        if tools and full == self.render(messages, None):
            raise UsageError(
                "the chat template has no place for tools: they would be left out",
                hint="Use a model whose template has one, or drop 'tools'.",
            )
        borders = [border for turn in turns for border in self._borders(messages, tools, turn, full)]
        ids, *prefixes = self.tokenizer([full, *(full[:border] for border in borders)], add_special_tokens=False)["input_ids"]
        mask = [False] * len(ids)
        for start, stop in zip(prefixes[::2], prefixes[1::2], strict=True):
            if ids[: len(start)] != start or ids[: len(stop)] != stop:
                raise UsageError(
                    "the tokenizer joins text across an assistant's turn's border: its end or the prompt ahead is not tokens of its own",
                    hint=f"Are the template's control tokens special tokens of the tokenizer? {self.end!r} should be one.",
                )
            mask[len(start) : len(stop)] = [True] * (len(stop) - len(start))
        return Encoded(ids, mask)

    def _borders(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None, turn: int, full: str) -> tuple[int, int]:
        """Where the turn begins and ends in `full`, in characters."""
        before = self.render(messages[:turn], tools, prompt=True)
        through = full if turn == len(messages) - 1 else self.render(messages[: turn + 1], tools)
        if not (full.startswith(through) and through.startswith(before)):
            raise UsageError(
                f"the chat template writes message {turn + 1} differently when others follow it, or not as its generation prompt begins it",
                hint="--mask.turns each learns every turn from what the model sees at that turn; --mask.turns last only the last one.",
            )
        said = through[len(before) :]
        for call in messages[turn].get("tool_calls") or ():
            if call["function"]["name"] not in said:
                raise UsageError(
                    f"the chat template leaves out the tool call in message {turn + 1}",
                    hint="Use a model whose template writes tool calls.",
                )
        if not said.rstrip().endswith(self.end):
            raise UsageError(
                f"message {turn + 1} does not end with {self.end!r}, the template's end of a turn", hint="Check the chat template."
            )
        return len(before), len(before) + len(said if self.mask.end == "separator" else said.rstrip())


def pieces(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], supervised: Sequence[bool]) -> list[dict[str, Any]]:
    """The row for people: stretches of text that are all supervised or all not, `{"text": …, "supervised": …}`."""
    parts: list[dict[str, Any]] = []
    start = 0
    for stop in range(1, len(ids) + 1):
        if stop == len(ids) or supervised[stop] != supervised[start]:
            parts.append({"text": tokenizer.decode(list(ids[start:stop])), "supervised": bool(supervised[start])})
            start = stop
    return parts
