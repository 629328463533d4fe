"""Detect the format of a row by its fields, and the kinds of row that it can be read as.

A row can often be read in more than one way: text with a label is text for pretraining and a sample for a classifier. The kinds that
the task accepts decide; without any, the most likely kind is returned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swift_core.contract import suggestion
from swift_data.rows.conversations import ANSWERS
from swift_data.rows.retrieval import is_retrieval
from swift_data.rows.tagged import is_tagged
from swift_data.rows.values import Wrong, decoded, kind_of

PAIRS = ("chosen", "rejected")
REJECTED = ("rejected_response", "rejected_messages")
LABELS = ("label", "kto_tag")
KNOWN = (
    "messages; conversations; instruction, output; query, response; prompt, completion; text; prompt alone; "
    "chosen, rejected (or messages, rejected_response) for preferences; query, positive, negative; tokens, tags; text, "
    "spans; any of them with label"
)
# Other tools' names of a prompt and of its answer, the least ambiguous first.
_QUESTIONS = (*ANSWERS, "question", "problem", "Question", "input", "user")
_ANSWERED = (*ANSWERS.values(), "answer", "solution", "Answer", "Response", "target", "assistant")
_TEXTS = ("content", "document", "body", "article", "passage", "story")
_FIELDS = ("messages", "conversations", "text", *ANSWERS, *ANSWERS.values(), *PAIRS, *REJECTED, *LABELS)


@dataclass(frozen=True, slots=True)
class Form:
    """A row format: its `name` ("alpaca"), the `kind` of row ("chat"), and the `reason`. Unknown formats have no name and no kind."""

    name: str
    kind: str
    reason: str


def form_of(data: Any, accepted: Sequence[str] = ()) -> Form:
    """Detect a row's format by its fields. Empty values count as absent: tables have them in unused columns.

    Args:
        data: the row.
        accepted: accepted kinds of row; preferred if the row can be read in several ways.
    """
    if not isinstance(data, Mapping):
        return Form("", "", f"a row must be an object with named fields, not {kind_of(data)}")
    first = None
    for form in _forms(data):
        if not accepted or form.kind in accepted:
            return form
        first = first or form
    return first or _unknown(data)


def way_on(data: Any, accepted: Sequence[str] = ("chat",)) -> str:
    """Return a hint with the `--data.columns` that reads a row with other field names as one of the kinds `accepted`, or ''."""
    if not isinstance(data, Mapping):
        return ""
    keys = [str(key) for key, value in data.items() if value is not None and value != ""]
    if "chat" in accepted:
        listed = next((key for key in keys if key not in _FIELDS and _is_conversation(data.get(key))), "")
        answer = next((key for key in keys if key in _ANSWERED and key != listed), "")
        if listed and answer and _is_asked(data[listed], listed):
            return _renamed({listed: "prompt", answer: "completion"}, "a conversation and its answer")
        return _renamed({listed: "messages"}, "a conversation") if listed else _question_and_answer(keys)
    text = next((key for key in keys if key in _TEXTS), "") if "text" in accepted else ""
    return _renamed({text: "text"}, "text") if text else ""


def _question_and_answer(keys: Sequence[str]) -> str:
    asked = next((name for name in _QUESTIONS if name in keys), "")
    ours = asked if asked in ANSWERS else "query"
    answer = next((name for name in _ANSWERED if name in keys and name != asked), "") or _near(ANSWERS[ours], keys)
    if not asked or not answer:
        return ""
    names = {asked: ours, answer: ANSWERS[ours], **({"context": "input"} if "context" in keys and "input" not in keys else {})}
    near = f"Did you mean '{ANSWERS[ours]}'? " if answer not in _ANSWERED else ""
    renamed = {theirs: own for theirs, own in names.items() if theirs != own}
    return near + _renamed(renamed, "a question and its answer") if renamed else ""


def _renamed(names: Mapping[str, str], what: str) -> str:
    return f"--data.columns '{json.dumps(names, ensure_ascii=False)}' reads it as {what}."


def _is_conversation(value: Any) -> bool:
    first = value[0] if isinstance(value, list | tuple) and value else None
    return isinstance(first, Mapping) and not first.keys().isdisjoint(("role", "from"))


def _near(name: str, keys: Sequence[str]) -> str:
    return next((key for key in keys if key not in _FIELDS and suggestion(key, [name])), "")


def base_form(data: Mapping[str, Any]) -> Form:
    """Return the format of a row's conversation, without regard to its label or rejected answers."""
    return next(_plain(data, _present(data)), _unknown(data))


def _present(data: Mapping[str, Any]) -> set[str]:
    return {key for key, value in data.items() if value is not None and value != ""} | ({"text"} & data.keys())


def _forms(data: Mapping[str, Any]) -> Iterator[Form]:
    keys = _present(data)
    if form := _preference(data, keys):
        yield form
        return
    if found := is_retrieval(data, keys):
        yield Form("retrieval", "retrieval", f"it has a query and '{found}'")
    if found := is_tagged(data, keys):
        yield Form("tagged", "tagged", f"it has '{found}'")
    label = next((key for key in LABELS if key in keys), "")
    if not label:
        yield from _plain(data, keys)
        return
    # Any column may hold a word; true, false and numbers rate the answer, which must then not be trained on as if it were good.
    form = Form("label", "label", f"it has '{label}'")
    is_word = isinstance(data[label], str) and data[label].lower() not in ("true", "false")
    if is_word:
        yield from _plain(data, keys)
    plain = next(_plain(data, keys), None)
    if plain:
        yield form
    if not is_word:
        yield from (other for other in _plain(data, keys) if other.kind != "chat")


def _preference(data: Mapping[str, Any], keys: set[str]) -> Form | None:
    if found := sorted(keys & {"chosen_messages", *REJECTED}):
        name = "preference-messages" if "chosen_messages" in keys else "preference-rejected"
        return Form(name, "preference", f"it has '{found[0]}'")
    if found := sorted(keys & set(PAIRS)):
        asked = not keys.isdisjoint(("messages", "conversations", *ANSWERS))
        return Form("preference-pair" if asked else "preference-messages", "preference", f"it has '{found[0]}'")
    if "instruction" in keys and isinstance(data.get("output"), list | tuple):
        return Form("preference-outputs", "preference", "its 'output' is a list")
    return None


def _plain(data: Mapping[str, Any], keys: set[str]) -> Iterator[Form]:
    """Yield the formats of a row without label and rejected answers, the most likely first."""
    listed = next((name for name in ("messages", "conversations") if name in keys), "")
    pair = next((pair for pair in ANSWERS.items() if pair[0] in data and pair[1] in data and not keys.isdisjoint(pair)), None)
    if listed:
        if _is_asked(data[listed], listed):
            yield Form(listed, "prompt", f"its '{listed}' do not end with an answer")
        yield Form(listed, "chat", f"it has '{listed}'")
    elif pair:
        name = "alpaca" if pair[0] == "instruction" else "-".join(pair)
        yield Form(name, "chat", f"it has '{pair[0]}' and '{pair[1]}'")
    if "text" in keys:
        yield Form("text", "text", "it has 'text'")
    asked = next((name for name in ANSWERS if name in keys), "")
    if asked and not listed and not (pair and pair[1] in keys):
        yield Form("prompt", "prompt", f"it has '{asked}' without '{ANSWERS[asked]}'")


def _is_asked(messages: Any, name: str) -> bool:
    """Return True if a conversation ends with a user or tool turn; only that turn is read."""
    try:
        last = decoded(messages, name)[-1]
        return last["from" if "from" in last else "role"] in ("user", "human", "tool", "observation", "tool_response")
    except (Wrong, LookupError, TypeError):
        return False  # an error in it is reported when it is read


def _unknown(data: Mapping[str, Any]) -> Form:
    near = next(filter(None, (suggestion(str(key), _FIELDS) for key in data if key not in _FIELDS)), "")
    return Form("", "", f"its fields ({', '.join(map(str, data)) or 'none'}) match no known row format, or are empty. {near}".strip())
