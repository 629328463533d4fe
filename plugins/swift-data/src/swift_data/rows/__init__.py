"""Dataset rows: recognised by their fields, validated, and normalised to the few row types that tasks train on.

A task declares the kinds of row it accepts ("chat", "text", "preference", "label", "prompt", "retrieval", "tagged"). Whatever the source
format, messages are returned in OpenAI's format and media as absolute paths or URLs. Nothing is dropped or repaired silently: a row that is
not understood is refused with its file, row number and JSON path; fields that are not used are listed in the row's `unread`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from swift_core.contract import RawRow, UsageError
from swift_data.rows.conversations import ANSWERS, Message, Messages, conversation
from swift_data.rows.fields import Fields
from swift_data.rows.forms import KNOWN, LABELS, Form, base_form, form_of, way_on
from swift_data.rows.lost import refuse_lost
from swift_data.rows.media_marks import FIELDS, place_media
from swift_data.rows.preferences import preference
from swift_data.rows.retrieval import retrieval
from swift_data.rows.tagged import TaggedSpan, tagged
from swift_data.rows.tool_calls import tools_of
from swift_data.rows.turns import check_end, check_turns
from swift_data.rows.values import Wrong, kind_of, text_of
from swift_data.rows.variables import NAMES as VARIABLES, variables_of

__all__ = [
    "ChatRow",
    "Form",
    "LabelRow",
    "PreferenceRow",
    "PromptRow",
    "RetrievalRow",
    "Row",
    "RowError",
    "TaggedRow",
    "TaggedSpan",
    "TextRow",
    "canonical",
    "form_of",
    "learned_by",
    "normalise",
]

_LEARNED_BY = {
    "text": 'swift pretrain trains on text rows. A chat row looks like {"messages": [{"role": "user", "content": "…"}, …]}.',
    "chat": 'swift sft trains on chat rows. A text row looks like {"text": "…"}.',
    "preference": "Preference tasks (DPO and similar) train on such rows.",
    "label": "KTO and classifiers train on such rows.",
    "tagged": "Token classifiers (swift token-cls) train on such rows.",
    "retrieval": "Embedding models and rerankers train on such rows.",
    "prompt": "Tasks with rollouts train on such rows; for the others, add the answer.",
}
Tools = tuple[Mapping[str, Any], ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Common fields of every row: its chat template `variables`, and the paths of its `unread` fields (`messages[].mood`).

    Unread fields of messages are still passed to the chat template, which may use them.
    """

    variables: Mapping[str, Any] = field(default_factory=dict)  # chat template variables of the row
    unread: tuple[str, ...] = field(default=(), compare=False)  # paths of the fields that are not used


@dataclass(frozen=True, slots=True)
class ChatRow(Read):
    """A conversation that ends with an assistant turn.

    Messages have `role` (system, user, assistant, tool), `content` (text, or a list of parts if there are media), and any other
    fields of the source: `tool_calls` (arguments as objects), `reasoning_content`, `loss_scale` if it is not 1, `name`, …
    `tools` are OpenAI's {"type": "function", "function": …} or None.
    """

    messages: tuple[Message, ...]  # the conversation
    tools: Tools = None


@dataclass(frozen=True, slots=True)
class TextRow(Read):
    """Plain text; every token is supervised."""

    text: str  # the text


@dataclass(frozen=True, slots=True)
class PreferenceRow(Read):
    """A prompt with a chosen and a rejected answer. Each answer is an assistant turn, or several turns that end with one."""

    prompt: tuple[Message, ...]  # the messages before the answers
    chosen: tuple[Message, ...]  # the better answer
    rejected: tuple[Message, ...]  # the worse answer
    tools: Tools = None  # as in `ChatRow`


@dataclass(frozen=True, slots=True)
class LabelRow(Read):
    """A conversation (which may end with a user turn) and its label."""

    messages: tuple[Message, ...]  # the conversation
    label: bool | int | float | str | list[Any]  # its label: a class, a score or a list
    tools: Tools = None  # as in `ChatRow`


@dataclass(frozen=True, slots=True)
class PromptRow(Read):
    """A conversation that ends with a prompt to be answered; `extra` are the row's other fields, passed to reward functions."""

    messages: tuple[Message, ...]  # the conversation
    tools: Tools = None  # as in `ChatRow`
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RetrievalRow(Read):
    """A query with documents, and the label of each: 1 for a relevant one, 0 for another one, or a degree of relevance or similarity."""

    query: str  # the text of the query
    documents: tuple[str, ...]  # the texts of the documents, the relevant ones first if they have no other labels than 1 and 0
    labels: tuple[float, ...]  # of each document


@dataclass(frozen=True, slots=True)
class TaggedRow(Read):
    """A text with labelled parts, in order: all of its words, each with a tag, or named entities."""

    text: str  # the text
    spans: tuple[TaggedSpan, ...]  # the labelled parts
    words: bool = False  # whether these are all of its words


Row = ChatRow | TextRow | PreferenceRow | LabelRow | PromptRow | RetrievalRow | TaggedRow


class RowError(UsageError):
    """An invalid row; `where` is 'file, row N, $.path'."""


def normalise(raw: RawRow, accepted: Sequence[str], *, media_folder: Path | None = None) -> Row:
    """Validate a row and normalise it to the type of its kind.

    Args:
        raw: the row as its source stores it.
        accepted: the kinds of row that the task accepts.
        media_folder: the folder that relative media paths are resolved against, instead of the row's own folder.

    Raises:
        RowError: the format is unknown, the kind is not accepted, or the row is invalid.
        SwiftError: the row could not be read.
    """
    if raw.fault:
        raise raw.fault
    form = form_of(raw.data, accepted)
    try:
        if not form.kind:
            raise Wrong("$", form.reason, way_on(raw.data, accepted) or f"Known row formats: {KNOWN}.", code="DATA-021")
        if form.kind not in accepted:
            hint = way_on(raw.data, accepted) or learned_by(form, accepted)
            raise Wrong(
                "$", f"this is a {form.kind} row ({form.reason}), but {' or '.join(accepted)} rows are expected", hint, code="DATA-022"
            )
        data = Fields(raw.data)
        row = _row(data, form, media_folder or raw.folder)
        refuse_lost(data, form.kind)
        return replace(row, unread=data.unread())
    except Wrong as wrong:
        place = f"{raw.file}, row {raw.number}, {wrong.path}"
        raise RowError(wrong.message, code=wrong.code, hint=wrong.hint, where=place) from None


def canonical(row: Row) -> dict[str, Any]:
    """Return the row as a JSON object in the canonical format of its kind; `normalise` turns it back into the same row."""
    if isinstance(row, TextRow):
        return {"text": row.text}
    if isinstance(row, RetrievalRow):
        return {"query": row.query, "documents": list(row.documents), "labels": list(row.labels)}
    if isinstance(row, TaggedRow):
        labels = [span.label for span in row.spans]
        if row.words:
            return {"text": row.text, "tokens": [row.text[span.start : span.stop] for span in row.spans], "tags": labels}
        places = [{"start": span.start, "end": span.stop} for span in row.spans]
        return {"text": row.text, "spans": [{**place, "label": label} for place, label in zip(places, labels, strict=True)]}
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
    if form.kind == "retrieval":
        return RetrievalRow(*retrieval(data))
    if form.kind == "tagged":
        return TaggedRow(*tagged(data))
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
        raise Wrong("$.text", "the text is empty", "Remove the row.", code="DATA-023")
    return text


def _label(data: Mapping[str, Any]) -> Any:
    name = next(name for name in LABELS if data.get(name) is not None and data[name] != "")
    label = data[name]
    if isinstance(label, str) and label.lower() in ("true", "false"):  # a table's cell
        return label.lower() == "true"
    if name == "kto_tag" and not isinstance(label, bool):
        raise Wrong("$.kto_tag", f"must be true or false, not {kind_of(label)}", code="DATA-024")
    for item, path in (
        [(item, f"$.{name}[{place}]") for place, item in enumerate(label)] if isinstance(label, list) else [(label, f"$.{name}")]
    ):
        if not isinstance(item, bool | int | float | str):
            raise Wrong(path, f"must be true or false, a number or text, not {kind_of(item)}", code="DATA-025")
        if isinstance(item, float) and not math.isfinite(item):
            raise Wrong(path, f"must be a finite number, not {item}", "Remove the row, or correct it.", code="DATA-026")
    return label


def _check_asks(placed: Messages) -> None:
    path, last = placed[-1]
    if last["role"] not in ("user", "tool"):
        raise Wrong(
            path, f"a prompt must end with a user or tool message, not with role '{last['role']}'", "Remove the last turn.", code="DATA-027"
        )


def _extra(data: Mapping[str, Any], form: str) -> dict[str, Any]:
    """Return the fields that no message was built from."""
    listed = next((name for name in ("messages", "conversations") if data.get(name)), "")
    asked = (listed,) if form != "prompt" else (next(name for name in ANSWERS if data.get(name)), "input", "history")
    others = (*asked, "system", "tools", "functions", "messages", *VARIABLES)
    return {key: value for key, value in data.items() if key not in others and key not in FIELDS}


def learned_by(form: Form, accepted: Sequence[str]) -> str:
    """Return a hint for a row whose kind the task does not accept."""
    if form.kind == "chat" and "prompt" in accepted:
        return "A prompt row ends with a user message. Rename the field of the answer to pass it to reward functions."
    if form.kind == "chat" and ("preference" in accepted or "label" in accepted):
        return "Such rows need 'chosen' and 'rejected'." if "preference" in accepted else "Such rows need a 'label'."
    if "tagged" in accepted:
        return "Such rows need 'tokens' and 'tags', or 'text' and 'spans'."
    if "retrieval" in accepted:
        return "Such rows need a 'query' and a 'positive' document."
    return _LEARNED_BY[form.kind]
