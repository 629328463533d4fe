"""Rows of data: recognised by their fields, checked, and brought into the few shapes that tasks train on.

A task says which kinds it wants ("chat", "text", "preference", "label", "prompt"). However a row is spelled, its messages come out in
OpenAI's spelling, and its media as absolute paths or addresses. Nothing is dropped or repaired silently: what is not understood is
refused with file, row and path; fields that nobody reads are listed in the row's `unread`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from swift_core.errors import UsageError
from swift_core.roles import RawRow
from swift_core.rows.conversations import ANSWERS, Message, Messages, conversation
from swift_core.rows.fields import Fields
from swift_core.rows.forms import KNOWN, LABELS, Form, base_form, form_of, way_on
from swift_core.rows.lost import refuse_lost
from swift_core.rows.media_marks import FIELDS, place_media
from swift_core.rows.preferences import preference
from swift_core.rows.tool_calls import tools_of
from swift_core.rows.turns import check_end, check_turns
from swift_core.rows.values import Wrong, kind_of, text_of
from swift_core.rows.variables import NAMES as VARIABLES
from swift_core.rows.variables import variables_of

__all__ = [
    "ChatRow",
    "Form",
    "LabelRow",
    "PreferenceRow",
    "PromptRow",
    "Row",
    "RowError",
    "TextRow",
    "canonical",
    "form_of",
    "learned_by",
    "normalise",
]

_LEARNED_BY = {
    "text": 'swift pretrain learns from text. A chat row looks like {"messages": [{"role": "user", "content": "…"}, …]}.',
    "chat": 'swift sft learns from conversations. A text row looks like {"text": "…"}.',
    "preference": "Preference tasks (dpo and its like) learn from such rows.",
    "label": "kto and classifiers learn from such rows.",
    "prompt": "Tasks with rollouts learn from such rows; for the others, add the answer.",
}
Tools = tuple[Mapping[str, Any], ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Of every row: its own `variables` of the chat template, and the paths of its fields that nobody has read (`messages[].mood`).

    A chat template may still read fields of messages that are `unread` here: they are handed on to it.
    """

    variables: Mapping[str, Any] = field(default_factory=dict)
    unread: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ChatRow(Read):
    """A conversation that ends with an answer.

    Messages have `role` (system, user, assistant, tool) and `content` (text, or a list of parts where there are media), and what
    else their source gave them: `tool_calls` (arguments as objects), `reasoning_content`, `loss_scale` where it is not 1, `name`, …
    `tools` are OpenAI's {"type": "function", "function": …} or None.
    """

    messages: tuple[Message, ...]
    tools: Tools = None


@dataclass(frozen=True, slots=True)
class TextRow(Read):
    """Plain text, learned whole."""

    text: str


@dataclass(frozen=True, slots=True)
class PreferenceRow(Read):
    """Two answers to one prompt, of which one is better. Each answer is the assistant's turn, or more turns that end with one."""

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    tools: Tools = None


@dataclass(frozen=True, slots=True)
class LabelRow(Read):
    """A conversation (which may end with the user) and what is judged of it."""

    messages: tuple[Message, ...]
    label: bool | int | float | str | list[Any]
    tools: Tools = None


@dataclass(frozen=True, slots=True)
class PromptRow(Read):
    """A conversation that waits for an answer; `extra` are the row's other fields, which reward functions use."""

    messages: tuple[Message, ...]
    tools: Tools = None
    extra: Mapping[str, Any] = field(default_factory=dict)


Row = ChatRow | TextRow | PreferenceRow | LabelRow | PromptRow


class RowError(UsageError):
    """A row that can't be used; `where` is 'file, row N, $.path'."""


def normalise(raw: RawRow, wanted: Sequence[str], *, media_folder: Path | None = None) -> Row:
    """Check a row and bring it into the shape of its kind.

    Args:
        raw: the row as its source has it.
        wanted: the kinds of row that the task takes.
        media_folder: where relative paths of media files begin, instead of the row's own folder.

    Raises:
        RowError: unknown form, another kind than is wanted, or a fault in the row.
        SwiftError: the row could not be read.
    """
    if raw.fault:
        raise raw.fault
    form = form_of(raw.data, wanted)
    try:
        if not form.kind:
            raise Wrong("$", form.reason, way_on(raw.data, wanted) or f"Known forms: {KNOWN}.")
        if form.kind not in wanted:
            hint = way_on(raw.data, wanted) or learned_by(form, wanted)
            raise Wrong("$", f"this is a {form.kind} row ({form.reason}), but {' or '.join(wanted)} rows are wanted", hint)
        data = Fields(raw.data)
        row = _row(data, form, media_folder or raw.folder)
        refuse_lost(data, form.kind)
        return replace(row, unread=data.unread())
    except Wrong as wrong:
        raise RowError(wrong.message, hint=wrong.hint, where=f"{raw.file}, row {raw.number}, {wrong.path}") from None


def canonical(row: Row) -> dict[str, Any]:
    """The row as a JSON object in the one spelling of its kind; `normalise` makes the same row of it again."""
    if isinstance(row, TextRow):
        return {"text": row.text}
    around: dict[str, Any] = {"tools": [dict(tool) for tool in row.tools]} if row.tools else {}
    if row.variables:
        around["chat_template_kwargs"] = dict(row.variables)
    if isinstance(row, PreferenceRow):
        return {"prompt": list(row.prompt), "chosen": list(row.chosen), "rejected": list(row.rejected), **around}
    messages = {"messages": list(row.messages), **around}
    if isinstance(row, LabelRow):
        return {**messages, "label": row.label}
    return {**messages, **row.extra} if isinstance(row, PromptRow) else messages


def _row(data: Fields, form: Form, folder: Path | None) -> Row:
    if form.kind == "text":
        return TextRow(_text(data))
    tools, variables = tools_of(data), variables_of(data)
    if form.kind == "preference":
        prompt, chosen, rejected = preference(data, form.name, folder)
        return PreferenceRow(prompt, chosen, rejected, tools, variables=variables)
    name = base_form(data).name if form.kind == "label" else form.name
    placed = conversation(data, name)
    if form.kind == "chat":
        check_end(placed, f"$.{name}" if name in data else "$")
    place_media(data, placed, folder)
    check_turns(placed)
    messages = tuple([message for _, message in placed])
    if form.kind == "chat":
        return ChatRow(messages, tools, variables=variables)
    if form.kind == "label":
        return LabelRow(messages, _label(data), tools, variables=variables)
    _check_asks(placed)
    return PromptRow(messages, tools, _extra(data, name), variables=variables)


def _text(data: Mapping[str, Any]) -> str:
    text = text_of(data["text"], "$.text")
    if not text.strip():
        raise Wrong("$.text", "an empty text: there is nothing to learn", "Remove the row.")
    return text


def _label(data: Mapping[str, Any]) -> Any:
    name = next(name for name in LABELS if data.get(name) is not None and data[name] != "")
    label = data[name]
    if isinstance(label, str) and label.lower() in ("true", "false"):  # a table's cell
        return label.lower() == "true"
    if name == "kto_tag" and not isinstance(label, bool):
        raise Wrong("$.kto_tag", f"must be true or false, not {kind_of(label)}")
    for item, path in (
        [(item, f"$.{name}[{place}]") for place, item in enumerate(label)] if isinstance(label, list) else [(label, f"$.{name}")]
    ):
        if not isinstance(item, bool | int | float | str):
            raise Wrong(path, f"must be true or false, a number or a text, not {kind_of(item)}")
        if isinstance(item, float) and not math.isfinite(item):
            raise Wrong(path, f"must be a number, not {item}", "Remove the row, or correct it.")
    return label


def _check_asks(placed: Messages) -> None:
    path, last = placed[-1]
    if last["role"] not in ("user", "tool"):
        raise Wrong(path, f"a prompt ends with the user, not with a message of the role {last['role']}", "Remove the last turn.")


def _extra(data: Mapping[str, Any], form: str) -> dict[str, Any]:
    """The fields that no message was made of."""
    listed = next((name for name in ("messages", "conversations") if data.get(name)), "")
    asked = (listed,) if form != "prompt" else (next(name for name in ANSWERS if data.get(name)), "input", "history")
    others = (*asked, "system", "tools", "functions", "messages", *VARIABLES)
    return {key: value for key, value in data.items() if key not in others and key not in FIELDS}


def learned_by(form: Form, wanted: Sequence[str]) -> str:
    """What to do with a row of a form that is not wanted."""
    if form.kind == "chat" and "prompt" in wanted:
        return "A prompt row ends with the user. Give the answer's field another name, and reward functions get it."
    if form.kind == "chat" and ("preference" in wanted or "label" in wanted):
        return "Such rows need 'chosen' and 'rejected'." if "preference" in wanted else "Such rows need a 'label'."
    return _LEARNED_BY[form.kind]
