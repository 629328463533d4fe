"""Prompts: rows that end with a user or tool message, encoded up to where the answer begins, and what rewards are told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_data.reading import raw_rows
from swift_data.rows import ChatRow, PromptRow, normalise
from swift_data.rows.conversations import with_default_system
from swift_train.mask_options import MaskOptions
from swift_train.template_encoder import TemplateEncoder
from swift_train.tokenise import Encoded, Span, SupervisedText, Tokeniser

from swift_core.contract import UsageError
from swift_rollouts.turns.choices import tool_choices
from swift_rollouts.turns.tools import tool_schemas

if TYPE_CHECKING:
    from swift_train.media.rows import RowMedia
    from swift_train.samples import Samples
    from transformers import PreTrainedTokenizerBase

    from swift_core.contract import RawRow, Run
    from swift_rollouts.options import RolloutOptions


class PromptEncoder(TemplateEncoder):
    """Encode a prompt row with the chat template, with the opening of the assistant's turn. All of its tokens of text are marked."""

    rows = "prompt"

    def __init__(self, tokenizer: PreTrainedTokenizerBase, options: RolloutOptions, stops: Sequence[str], media: RowMedia | None) -> None:
        super().__init__(Tokeniser(tokenizer), options, MaskOptions(), stops, media)
        self.tools = tool_schemas(tool_choices(options.tools, options.modules), options.turn_timeout)
        self.settings = {**self.settings, "tools": self.tools}
        if self.tools and not self.encode.template.takes_tools:
            hint = "Use a model whose template renders tools, or --chat-template FILE."
            raise UsageError("the chat template does not support tools", code="RL-033", where="tools", hint=hint)

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """Return the text of the prompt."""
        row = self._row(raw)
        tools = row.tools or tuple(self.tools) or None
        chat = ChatRow(row.messages, tools, variables=row.variables, unread=tuple(name for name in row.unread if name not in row.extra))
        text = self.encode.template.for_row(chat).render(row.messages, tools, prompt=True)
        self.unread.add(chat)
        return self.encode.with_media(chat, [SupervisedText(text, (Span(0, len(text), 1.0),))])

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Check nothing: a prompt has no mask."""

    def _row(self, raw: RawRow) -> PromptRow:
        row, _ = prompt_row(raw, self.media)
        return replace(row, messages=with_default_system(row.messages, self.system))


def prompt_row(raw: RawRow, media_folder: Path | None) -> tuple[PromptRow, Mapping[str, Any] | None]:
    """Return the prompt of a row, and the answer of a conversation that ends with one, which is not part of the prompt.

    Raises:
        RowError: it is neither a prompt nor a conversation.
    """
    row = normalise(raw, ("prompt", "chat"), media_folder=media_folder)
    if isinstance(row, PromptRow):
        return row, None
    assert isinstance(row, ChatRow)
    extra = {name: raw.data[name] for name in row.unread if name in raw.data}
    prompt = PromptRow(row.messages[:-1], row.tools, extra, variables=row.variables, unread=row.unread)
    return prompt, row.messages[-1]


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """Fields of a prompt for rewards and schedulers: its messages, and the row's other fields."""

    messages: Sequence[Mapping[str, Any]]  # the conversation up to the answer
    fields: Mapping[str, Any]  # other fields of its row
    tools: Sequence[Mapping[str, Any]] | None = None  # those of the row
    variables: Mapping[str, Any] = field(default_factory=dict)  # chat template variables of the row
    answer: Mapping[str, Any] | None = None  # the row's own answer

    @property
    def has_media(self) -> bool:
        """Whether the conversation has pictures, videos or audio."""
        contents = [message.get("content") for message in self.messages]
        return any(part["type"] != "text" for content in contents if not isinstance(content, str) for part in content or ())


def prompt_facts(run: Run, prompts: Samples) -> list[PromptFacts]:
    """Return the facts of each prompt, by its index among the samples."""
    found: dict[str, PromptFacts] = {}
    data = run.options.get("data", {})
    media = Path(data["media_folder"]) if data.get("media_folder") else None
    wanted = {prompts.origin(index) for index in range(len(prompts))}
    for choice in (*run.datasets, *run.validation):
        for raw in raw_rows(choice, data):
            if (place := f"{raw.file}, row {raw.number}") in wanted:
                row, answer = prompt_row(raw, media)
                found[place] = PromptFacts(row.messages, row.extra, row.tools, row.variables, answer)
    return [found[prompts.origin(index)] for index in range(len(prompts))]
