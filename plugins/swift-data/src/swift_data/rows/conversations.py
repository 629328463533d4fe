"""Conversations in the formats in use, converted to OpenAI's: `role` and `content`, tool calls as objects.

Each message is kept with its JSON path in the row, so that errors found later can name their place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swift_core.contract import suggestion
from swift_data.rows import loss_scales, thoughts
from swift_data.rows.contents import blocks_of, content_of
from swift_data.rows.media_marks import FIELDS
from swift_data.rows.tool_calls import calls_of
from swift_data.rows.turns import join_calls
from swift_data.rows.values import Wrong, decoded, kind_of, text_of

Message = Mapping[str, Any]
Messages = list[tuple[str, dict[str, Any]]]  # each with its JSON path

# Names of roles in use → OpenAI's. A "call" is an assistant message whose text is the JSON of a tool call.
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "function_call": "call",
    "tool_call": "call",
}
_SPELLED = ("role", "content"), ("from", "value")
_TAKEN = frozenset(
    ("role", "content", "from", "value", "tool_calls", "function_call", *loss_scales.NAMES, *loss_scales.UNCLEAR, *thoughts.NAMES)
)
READ = _TAKEN | {"name", "tool_call_id", "is_error"}  # fields of a message; all others are passed to the chat template
PLAIN = {"role", "content"}, {"from", "value"}  # the fields of messages that have no others
# Fields of a row that some tools write into a message, with a hint.
_OF_THE_ROW: Mapping[str, str] = {
    **dict.fromkeys(FIELDS, 'Name its files in the content, as parts ({"type": "image", "image": …}), or in a column of the row.'),
    "tools": "Move the tools into the row, next to its messages.",
    "functions": "Move the tools into the row, next to its messages.",
}


def conversation(data: Mapping[str, Any], form: str) -> Messages:
    """Return a row's messages, read by the name of its form; the conversation as a whole is not validated yet."""
    return with_system(data, _READERS[form](data))


def with_system(data: Mapping[str, Any], placed: Messages) -> Messages:
    """Prepend the system prompt of the row's field `system`, if it has one.

    Raises:
        Wrong: the first message is a system prompt too.
    """
    if system := data.get("system"):
        if placed and placed[0][1]["role"] == "system":
            raise Wrong("$.system", "there are two system prompts: this field, and the first message", "Keep one of them.", code="DATA-034")
        placed.insert(0, ("$.system", {"role": "system", "content": content_of(system, "$.system")}))
    return placed


def with_default_system(messages: tuple[Message, ...], system: str) -> tuple[Message, ...]:
    """Prepend a system prompt to a conversation that has none; '' adds nothing."""
    if not system or (messages and messages[0]["role"] == "system"):
        return messages
    return ({"role": "system", "content": system}, *messages)


def messages_of(value: Any, path: str) -> Messages:
    """Parse a list of messages, or its JSON text.

    Raises:
        Wrong: it is not a list, is empty, or has an invalid message.
    """
    items = decoded(value, path)
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise Wrong(path, f"must be a list of messages, not {kind_of(items)}", code="DATA-035")
    if not items:
        raise Wrong(path, "the conversation is empty", "Remove the row, or add messages.", code="DATA-036")
    placed: Messages = []
    calls = False
    for number, item in enumerate(items):
        at = f"{path}[{number}]"
        message = message_of(item, at, placed)
        calls = calls or message["role"] == "call"
    return join_calls(placed) if calls else placed


def message_of(item: Any, path: str, placed: Messages) -> dict[str, Any]:
    """Parse one message and append it to `placed`, after the tool results that it contains; return the message."""
    if not isinstance(item, Mapping):
        raise Wrong(path, f"a message must be an object, not {kind_of(item)}", 'Write {"role": "user", "content": "…"}.', code="DATA-037")
    role_key, content = ("from", "value") if "from" in item else ("role", "content")
    name = item.get(role_key)
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise _unknown_role(item, role_key, path)
    value = item.get(content)
    if isinstance(value, str) and role != "call" and item.keys() in PLAIN:
        message: dict[str, Any] = {"role": role, "content": value}
        placed.append((path, message))
        return message
    return _full_message(item, role, content, path, placed)


def _full_message(item: Mapping[str, Any], role: str, content: str, path: str, placed: Messages) -> dict[str, Any]:
    message: dict[str, Any] = {"role": role, "content": ""}
    message |= {key: value for key, value in item.items() if key not in _TAKEN and value is not None}
    _check_fields(item, content, path)
    scale = loss_scales.loss_scale_of(item, role, path)
    if scale != 1.0 and role in ("assistant", "call"):
        message["loss_scale"] = scale
    value, at = item.get(content), f"{path}.{content}"
    calls = _calls(item, path)
    thought = thoughts.thought_of(item, path)
    if role == "call":
        calls += calls_of(value, at)
    elif isinstance(value, list | tuple):
        _take_blocks(value, message, calls, (path, at), placed)
    elif value is not None or not (calls or thought):
        if content not in item:
            raise Wrong(path, f"a message needs '{content}'", suggestion(content, map(str, item)), code="DATA-038")
        message["content"] = text_of(value, at)
    thoughts.add_thought(message, thought, path)
    if calls:
        if role not in ("assistant", "call"):
            raise Wrong(path, f"a {role} message has tool calls", "Only assistant messages can call tools.", code="DATA-039")
        message["tool_calls"] = calls
    placed.append((path, message))
    return message


def _check_fields(item: Mapping[str, Any], content: str, path: str) -> None:
    """Refuse fields that would be ignored: fields that belong to the row, and a second role or text under another name."""
    for key, hint in _OF_THE_ROW.items():
        if item.get(key) not in (None, "", [], {}, ()):
            raise Wrong(f"{path}.{key}", f"'{key}' is not supported in a message", hint, code="DATA-040")
    for own, other in zip(*(_SPELLED if content == "content" else _SPELLED[::-1]), strict=True):
        same = item.get(other) in (None, item.get(own)) or (own in ("role", "from") and ROLES.get(item[other]) == ROLES.get(item[own]))
        if not same:
            raise Wrong(f"{path}.{other}", f"contradicts '{own}'", "Keep one of them.", code="DATA-041")


def _calls(item: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    """Return the tool calls in a message's fields; `function_call` is OpenAI's former name for a single one."""
    listed, lone = item.get("tool_calls"), item.get("function_call")
    if listed and lone:
        raise Wrong(f"{path}.function_call", "tool calls are given twice: here, and in 'tool_calls'", "Keep one of them.", code="DATA-042")
    if lone:
        return calls_of(lone, f"{path}.function_call")
    return calls_of(listed, f"{path}.tool_calls") if listed else []


def _take_blocks(
    value: Sequence[Any], message: dict[str, Any], calls: list[dict[str, Any]], paths: tuple[str, str], placed: Messages
) -> None:
    role, (path, at) = message["role"], paths
    blocks = blocks_of(value, at)
    if blocks.thinking and role != "assistant":
        raise Wrong(at, f"a {role} message has thinking", "Only assistant messages can have thinking.", code="DATA-043")
    if blocks.results and role != "user":
        raise Wrong(
            at, f"a {role} message has tool results", "Write them in a user message, or as messages with the role 'tool'.", code="DATA-044"
        )
    calls += blocks.calls
    message["content"] = blocks.content
    thoughts.add_thought(message, "\n".join(blocks.thinking), at)
    placed += [(path, result) for result in blocks.results]
    if blocks.results and not blocks.parts:  # there is no user text: the last result takes the message's place
        message.clear()
        message |= placed.pop()[1]


def _unknown_role(item: Mapping[Any, Any], role_key: str, path: str) -> Wrong:
    if role_key not in item:
        near = suggestion(str(next(iter(item), "")), ["role", "content", "from", "value"])
        return Wrong(path, "a message needs 'role' and 'content'", near, code="DATA-045")
    near = suggestion(str(item[role_key]), ROLES)
    guess = ROLES.get(near.partition("'")[2].partition("'")[0], "assistant")
    near = near or "Known: system, user, assistant, tool; human, gpt, function_call, observation."
    typed = json.dumps({item[role_key]: guess}, ensure_ascii=False) if isinstance(item[role_key], str) else ""
    return Wrong(
        f"{path}.{role_key}",
        f"unknown role {item[role_key]!r}",
        f"{near} --data.roles '{typed}' maps it." if typed else near,
        code="DATA-046",
    )


def question_of(data: Mapping[str, Any], name: str) -> Messages:
    """Return the prompt from the field `name` (prompt, query, instruction) and from `input`, after the turns in `history`."""
    if name == "prompt" and not isinstance(data["prompt"], str):
        return messages_of(data["prompt"], "$.prompt")
    fields = [key for key in (name, "input") if data.get(key)] or [name]
    asked = "\n".join(text_of(data[key], f"$.{key}") for key in fields)
    placed: Messages = []
    for number, turn in enumerate(decoded(data.get("history") or [], "$.history")):
        at = f"$.history[{number}]"
        if not isinstance(turn, list | tuple) or len(turn) != 2:
            raise Wrong(at, "must be a pair: [question, answer]", code="DATA-047")
        placed.append((f"{at}[0]", {"role": "user", "content": text_of(turn[0], f"{at}[0]")}))
        placed.append((f"{at}[1]", {"role": "assistant", "content": text_of(turn[1], f"{at}[1]")}))
    return [*placed, (f"$.{fields[0]}", {"role": "user", "content": asked})]


def answer_of(value: Any, path: str) -> Messages:
    """Parse an answer: text, one message in any format, or a list of them.

    Raises:
        Wrong: it is none of these.
    """
    if isinstance(value, str):
        return [(path, {"role": "assistant", "content": value})]
    if isinstance(value, list | tuple):
        return messages_of(value, path)
    if not isinstance(value, Mapping) or value.keys().isdisjoint(("role", "from")):
        hint = "An answer is text, a message or a list of messages. Write an object as its JSON text, in quotes."
        raise Wrong(path, f"must be text, not {kind_of(value)}", hint, code="DATA-048")
    placed: Messages = []
    message_of(value, path, placed)
    return join_calls(placed)


def _listed(data: Mapping[str, Any]) -> Messages:
    name = next((name for name in ("messages", "conversations") if data.get(name)), "messages" if "messages" in data else "conversations")
    return messages_of(data[name], f"$.{name}")


def _pair(question: str, answer: str) -> Callable[[Mapping[str, Any]], Messages]:
    def read(data: Mapping[str, Any]) -> Messages:
        placed = [*question_of(data, question), *answer_of(data[answer], f"$.{answer}")]
        thoughts.add_thought(placed[-1][1], thoughts.thought_of(data, "$"), placed[-1][0])
        return placed

    return read


def _asked(data: Mapping[str, Any]) -> Messages:
    return question_of(data, next(name for name in ANSWERS if data.get(name)))


def _text(data: Mapping[str, Any]) -> Messages:
    return [("$.text", {"role": "user", "content": text_of(data["text"], "$.text")})]


# The field of the prompt → the field of its answer.
ANSWERS: Mapping[str, str] = {"query": "response", "prompt": "completion", "instruction": "output"}
# The reader of a row's messages, by the name of its form.
_READERS: Mapping[str, Callable[[Mapping[str, Any]], Messages]] = {
    "messages": _listed,
    "conversations": _listed,
    "alpaca": _pair("instruction", "output"),
    "query-response": _pair("query", "response"),
    "prompt-completion": _pair("prompt", "completion"),
    "prompt": _asked,
    "text": _text,
}
