"""Rows of data: recognised by their keys, checked, and brought into the few shapes that tasks train on.

A task says which kinds it wants ("chat", "text", "preference", "prompt", "label"). Of the forms in use, OpenAI's messages,
ShareGPT's conversations, Alpaca's instructions, query/response and prompt/completion pairs are chat rows, and all become one
`ChatRow` in OpenAI's spelling. Nothing is dropped or repaired silently: what is not understood is refused with file, row and path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swift_core.conversations import READERS, Message, Wrong, kind_of, text_of, tools_of
from swift_core.errors import UsageError, suggestion
from swift_core.roles import RawRow

_ANSWERS = {"query": "response", "prompt": "completion", "instruction": "output"}
_LEARNED_BY = {
    "text": 'swift pretrain learns from text. A chat row looks like {"messages": [{"role": "user", "content": "…"}, …]}.',
    "chat": 'swift sft learns from conversations. A text row looks like {"text": "…"}.',
    "preference": "Preference tasks (dpo and its like) learn from such rows.",
    "label": "kto and classifiers learn from such rows.",
    "prompt": "Tasks with rollouts learn from such rows; for the others, add the answer.",
}
_KNOWN = "messages; conversations; instruction, output; query, response; prompt, completion; text"


@dataclass(frozen=True, slots=True)
class ChatRow:
    """A conversation. Messages have `role` (system, user, assistant, tool) and `content`, and what else their source gave them:
    `tool_calls` (arguments as objects), `name`, `loss`, … `tools` are OpenAI's {"type": "function", "function": …} or None.
    """

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True)
class TextRow:
    """Plain text, learned whole."""

    text: str


@dataclass(frozen=True, slots=True)
class Form:
    """How a row is laid out: `name` ("alpaca"), what `kind` of row that is ("chat"), by what `reason`. Unknown ones have neither."""

    name: str
    kind: str
    reason: str


class RowError(UsageError):
    """A row that can't be used; `where` is 'file, row N, $.path'."""


def form_of(data: Any) -> Form:
    """Recognise a row's form by its keys. Empty values count as absent, as a table gives them for unused columns."""
    if not isinstance(data, Mapping):
        return Form("", "", f"a row must be an object with named fields, not {kind_of(data)}")
    keys = {key for key, value in data.items() if value is not None and value != ""} | ({"text"} & set(data))
    if found := sorted(keys & {"chosen", "rejected", "rejected_response", "rejected_messages"}):
        return Form("preference", "preference", f"it has '{found[0]}'")
    if found := sorted(
        key for key in keys & {"label", "kto_tag"} if not isinstance(data[key], str) or data[key].lower() in ("true", "false")
    ):
        return Form("label", "label", f"it has '{found[0]}'")
    for name in ("messages", "conversations"):
        if name in keys:
            return Form(name, "chat", f"it has '{name}'")
    for question, answer in _ANSWERS.items():
        if {question, answer} <= set(data) and {question, answer} & keys:
            return Form("alpaca" if question == "instruction" else f"{question}-{answer}", "chat", f"it has '{question}' and '{answer}'")
    if "text" in keys:
        return Form("text", "text", "it has 'text'")
    if found := sorted(keys & set(_ANSWERS)):
        return Form("prompt", "prompt", f"it has '{found[0]}' without '{_ANSWERS[found[0]]}'")
    near = next(
        filter(None, (suggestion(str(key), ["messages", "conversations", "text", *_ANSWERS, *_ANSWERS.values()]) for key in data)), ""
    )
    return Form("", "", f"its fields ({', '.join(map(str, data)) or 'none'}) are no known form, or empty. {near}".strip())


def normalise(raw: RawRow, wanted: tuple[str, ...]) -> ChatRow | TextRow:
    """Check a row and bring it into the shape of its kind.

    Args:
        raw: the row as its source has it.
        wanted: the kinds of row that the task takes.

    Raises:
        RowError: unknown form, another kind than is wanted, or a fault in the row.
    """
    form = form_of(raw.data)
    try:
        if not form.kind:
            raise Wrong("$", form.reason, f"Known forms: {_KNOWN}.")
        if form.kind not in wanted:
            raise Wrong(
                "$", f"this is a {form.kind} row ({form.reason}), but {' or '.join(wanted)} rows are wanted", _LEARNED_BY[form.kind]
            )
        if form.kind == "text":
            return TextRow(text_of(raw.data["text"], "$.text"))
        if form.kind == "chat":
            return _chat(raw.data, form)
        raise Wrong("$", f"{form.kind} rows can't be read as conversations", "The task's plugin has to read them itself.")
    except Wrong as wrong:
        raise RowError(wrong.message, hint=wrong.hint, where=f"{raw.file}, row {raw.number}, {wrong.path}") from None


def _chat(data: Mapping[str, Any], form: Form) -> ChatRow:
    messages = [dict(message) for message in READERS[form.name](data)]
    if system := data.get("system"):
        if messages and messages[0]["role"] == "system":
            raise Wrong("$.system", "there are two system prompts: this field, and the first message", "Keep one of them.")
        messages.insert(0, {"role": "system", "content": text_of(system, "$.system")})
    if not any(message["role"] == "assistant" for message in messages):
        raise Wrong(f"$.{form.name}" if form.name in data else "$", "no assistant message: there is nothing to learn", "Add the answer.")
    return ChatRow(tuple(messages), tools_of(data.get("tools")))
