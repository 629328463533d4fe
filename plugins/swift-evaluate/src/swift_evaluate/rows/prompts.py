"""The prompt of a row: the user's template, or the usual prompt of its layout, with examples before it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from swift_data.rows import ChatRow, PromptRow, normalise

from swift_core.contract import RawRow
from swift_evaluate.rows.choices import Choices
from swift_evaluate.rows.files import SourceRow
from swift_evaluate.rows.options import RowsEvaluatorOptions

Messages = tuple[Mapping[str, Any], ...]

QUESTIONS = ("question", "query", "problem")
ANSWERS = ("expected", "answer", "answers", "response", "output", "completion", "target", "reference", "solution")
_FIELD = re.compile(r"\{(\w+)\}")
_CHOICE = "{question}\n\n{choices}\n\nReply with the letter of the right choice only."
_LETTERS = "{question}\n{choices}\nAnswer:"
_TEXTS = "Question: {question}\nAnswer:"
_CODE = "Complete this Python function. Reply with the whole function in one code block.\n\n```python\n{prompt}\n```"


def fill(template: str, row: Mapping[str, Any]) -> str:
    """Return the template with the fields of the row; other braces stay.

    Raises:
        ValueError: the row lacks a field.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in row:
            raise ValueError(f"the template names the field '{match[1]}', which the row does not have; it has {', '.join(row)}")
        found = row[match[1]]
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    return _FIELD.sub(value, template)


def messages_of(source: SourceRow, choices: Choices | None, options: RowsEvaluatorOptions) -> tuple[Messages, Mapping[str, Any]]:
    """Return the conversation that asks the row's question, without a final answer, and further fields of the request (`tools`).

    Raises:
        ValueError: the row has no question.
        UsageError: the row is invalid.
    """
    row: Mapping[str, Any] = {**source.data, "choices": choices.listed()} if choices else source.data
    template = options.prompt or _default_template(row, choices, options)
    if template:
        asked: Messages = ({"role": "user", "content": fill(template, row)},)
        fields: dict[str, Any] = {"tools": row["tools"]} if isinstance(row.get("tools"), list) else {}
    else:
        read = normalise(RawRow(dict(row), str(source.file), source.number, source.file.parent), ("chat", "prompt"))
        assert isinstance(read, ChatRow | PromptRow)
        asked = tuple(read.messages)
        if isinstance(read, ChatRow) and asked and asked[-1]["role"] == "assistant":
            asked = asked[:-1]
        fields = {"tools": list(read.tools)} if read.tools else {}
    if options.system and not any(message["role"] == "system" for message in asked):
        asked = ({"role": "system", "content": options.system}, *asked)
    return asked, fields


def expected_of(row: Mapping[str, Any], choices: Choices | None, options: RowsEvaluatorOptions) -> tuple[str, ...]:
    """Return the accepted answers of a row; none if it has no field for them.

    Raises:
        ValueError: the field that the user names is missing or empty.
    """
    if options.expected:
        named = options.expected
        found = fill(named, row) if _FIELD.search(named) else row.get(named)
        if found in (None, "", []):
            raise ValueError(f"the row has no expected answer: its field '{named}' is missing or empty")
        return _answers(found)
    if choices:
        return (choices.right,)
    for name in ANSWERS:
        if row.get(name) not in (None, "", []):
            return _answers(row[name])
    messages = row.get("messages") or row.get("conversations")
    if isinstance(messages, list) and messages and isinstance(messages[-1], Mapping):
        last = messages[-1]
        if last.get("role", last.get("from")) in ("assistant", "gpt"):
            text = last.get("content", last.get("value"))
            return (text,) if isinstance(text, str) and text else ()
    return ()


def with_examples(asked: Messages, examples: Sequence[tuple[Messages, str]]) -> Messages:
    """Return the conversation with examples before its first question, each a question and its answer."""
    system = tuple(message for message in asked[:1] if message["role"] == "system")
    turns = [
        turn
        for question, answer in examples
        for turn in (*(message for message in question if message["role"] != "system"), {"role": "assistant", "content": answer})
    ]
    return (*system, *turns, *asked[len(system) :])


def text_of(asked: Messages, examples: Sequence[tuple[Messages, str]]) -> str:
    """Return the prompt as plain text, for log-likelihoods: examples and question, separated by empty lines."""
    parts = [f"{question[-1]['content']} {answer}" for question, answer in examples]
    return "\n\n".join([*parts, *(str(message["content"]) for message in asked)])


def _default_template(row: Mapping[str, Any], choices: Choices | None, options: RowsEvaluatorOptions) -> str:
    """Return the usual template of a row; '' if the row is read by its format."""
    if "entry_point" in row and "test" in row and "prompt" in row:
        return _CODE
    names = (*QUESTIONS, "ctx") if choices else QUESTIONS  # HellaSwag's rows have a context that is to be continued
    question = next((name for name in names if isinstance(row.get(name), str) and row[name]), "")
    if choices:
        if not question and not options.prompt:
            raise ValueError(f"the row has choices and no question; expected one of the fields {', '.join(QUESTIONS)}")
        template = {"generation": _CHOICE, "letter-likelihood": _LETTERS, "text-likelihood": _TEXTS}[options.answer_by]
        return template.replace("{question}", f"{{{question}}}")
    return f"{{{question}}}" if question else ""


def _answers(value: Any) -> tuple[str, ...]:
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):  # SQuAD
        value = value["text"]
    values = value if isinstance(value, list) else [value]
    return tuple(item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in values)
