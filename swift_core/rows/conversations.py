"""Conversations in the spellings in use, brought into OpenAI's: `role` and `content`, tool calls as objects.

Each message goes with the JSON path where its row has it, so that whatever is found wrong with it later can say where that is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swift_core.errors import suggestion
from swift_core.rows import loss_scales
from swift_core.rows.contents import blocks_of, content_of
from swift_core.rows.tool_calls import calls_of
from swift_core.rows.turns import join_calls
from swift_core.rows.values import Wrong, decoded, kind_of, text_of

Message = Mapping[str, Any]
Messages = list[tuple[str, dict[str, Any]]]  # each with its JSON path

# Every spelling of a role in use → OpenAI's. A "call" is an assistant message whose text is the JSON of a tool call.
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "tool": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "function_call": "call",
    "tool_call": "call",
}
_READ = frozenset(("role", "content", "from", "value", "tool_calls", *loss_scales.NAMES))
_PLAIN = {"role", "content"}, {"from", "value"}


def conversation(data: Mapping[str, Any], form: str) -> Messages:
    """A row's messages as they are spelled, by its form; not yet checked as a whole."""
    return with_system(data, _READERS[form](data))


def with_system(data: Mapping[str, Any], placed: Messages) -> Messages:
    """The messages after the system prompt of the row's field `system`, if it has one."""
    if system := data.get("system"):
        if placed and placed[0][1]["role"] == "system":
            raise Wrong("$.system", "there are two system prompts: this field, and the first message", "Keep one of them.")
        placed.insert(0, ("$.system", {"role": "system", "content": content_of(system, "$.system")}))
    return placed


def messages_of(value: Any, path: str) -> Messages:
    """The messages of a list, or of its JSON text."""
    items = decoded(value, path)
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise Wrong(path, f"must be a list of messages, not {kind_of(items)}")
    if not items:
        raise Wrong(path, "an empty conversation", "Remove the row, or give it messages.")
    placed: Messages = []
    calls = False
    for number, item in enumerate(items):
        at = f"{path}[{number}]"
        message = message_of(item, at, placed)
        calls = calls or message["role"] == "call"
    return join_calls(placed) if calls else placed


def message_of(item: Any, path: str, placed: Messages) -> dict[str, Any]:
    """Read one message onto `placed`, after the results of tools that it brings; what it says itself is returned."""
    if not isinstance(item, Mapping):
        raise Wrong(path, f"a message must be an object, not {kind_of(item)}", 'Write {"role": "user", "content": "…"}.')
    said, content = ("from", "value") if "from" in item else ("role", "content")
    name = item.get(said)
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise _unknown_role(item, said, path)
    value = item.get(content)
    if isinstance(value, str) and role != "call" and item.keys() in _PLAIN:
        message: dict[str, Any] = {"role": role, "content": value}
        placed.append((path, message))
        return message
    return _full_message(item, role, content, path, placed)


def _full_message(item: Mapping[str, Any], role: str, content: str, path: str, placed: Messages) -> dict[str, Any]:
    message: dict[str, Any] = {"role": role, "content": ""}
    message |= {key: value for key, value in item.items() if key not in _READ and value is not None}
    scale = loss_scales.loss_scale_of(item, role, path)
    if scale != 1.0 and role in ("assistant", "call"):
        message["loss_scale"] = scale
    value, at = item.get(content), f"{path}.{content}"
    calls = calls_of(item["tool_calls"], f"{path}.tool_calls") if item.get("tool_calls") else []
    if role == "call":
        calls += calls_of(value, at)
    elif isinstance(value, list | tuple):
        _take_blocks(value, message, calls, (path, at), placed)
    elif value is not None or not (calls or message.get("reasoning_content")):
        if content not in item:
            raise Wrong(path, f"a message needs '{content}'", suggestion(content, map(str, item)))
        message["content"] = text_of(value, at)
    if calls:
        if role not in ("assistant", "call"):
            raise Wrong(path, f"a {role} message with tool calls", "Only the assistant calls tools.")
        message["tool_calls"] = calls
    placed.append((path, message))
    return message


def _take_blocks(
    value: Sequence[Any], message: dict[str, Any], calls: list[dict[str, Any]], paths: tuple[str, str], placed: Messages
) -> None:
    role, (path, at) = message["role"], paths
    blocks = blocks_of(value, at)
    if blocks.thinking and role != "assistant":
        raise Wrong(at, f"a {role} message with thinking", "Only the assistant thinks.")
    if blocks.results and role != "user":
        raise Wrong(at, f"a {role} message with tool results in it", "They come from the user, or from messages of the role tool.")
    if blocks.thinking:
        message["reasoning_content"] = "\n".join(blocks.thinking)
    calls += blocks.calls
    message["content"] = blocks.content
    placed += [(path, result) for result in blocks.results]
    if blocks.results and not blocks.parts:  # the user says nothing besides: the last result stands for the message
        message.clear()
        message |= placed.pop()[1]


def _unknown_role(item: Mapping[Any, Any], said: str, path: str) -> Wrong:
    if said not in item:
        near = suggestion(str(next(iter(item), "")), ["role", "content", "from", "value"])
        return Wrong(path, "a message needs 'role' and 'content'", near)
    near = suggestion(str(item[said]), ROLES) or "Known: system, user, assistant, tool; human, gpt, function_call, observation."
    return Wrong(f"{path}.{said}", f"unknown role {item[said]!r}", near)


def question_of(data: Mapping[str, Any], name: str) -> Messages:
    """What the user asks, in the field `name` (prompt, query, instruction), after the earlier turns in `history`."""
    if name == "prompt" and not isinstance(data["prompt"], str):
        return messages_of(data["prompt"], "$.prompt")
    fields = [key for key in ((name, "input") if name == "instruction" else (name,)) if data.get(key)] or [name]
    asked = "\n".join(text_of(data[key], f"$.{key}") for key in fields)
    placed: Messages = []
    for number, turn in enumerate(decoded(data.get("history") or [], "$.history")):
        at = f"$.history[{number}]"
        if not isinstance(turn, list | tuple) or len(turn) != 2:
            raise Wrong(at, "must be a pair: [question, answer]")
        placed.append((f"{at}[0]", {"role": "user", "content": text_of(turn[0], f"{at}[0]")}))
        placed.append((f"{at}[1]", {"role": "assistant", "content": text_of(turn[1], f"{at}[1]")}))
    return [*placed, (f"$.{fields[0]}", {"role": "user", "content": asked})]


def answer_of(value: Any, path: str) -> Messages:
    """An answer: text, one message of any spelling, or a list of them."""
    if isinstance(value, str):
        return [(path, {"role": "assistant", "content": value})]
    if isinstance(value, list | tuple):
        return messages_of(value, path)
    if not isinstance(value, Mapping):
        raise Wrong(path, f"must be text, not {kind_of(value)}", "An answer is a text, a message or a list of messages.")
    placed: Messages = []
    message_of(value, path, placed)
    return join_calls(placed)


def _listed(data: Mapping[str, Any]) -> Messages:
    name = next((name for name in ("messages", "conversations") if data.get(name)), "messages" if "messages" in data else "conversations")
    return messages_of(data[name], f"$.{name}")


def _pair(question: str, answer: str) -> Callable[[Mapping[str, Any]], Messages]:
    return lambda data: [*question_of(data, question), *answer_of(data[answer], f"$.{answer}")]


def _asked(data: Mapping[str, Any]) -> Messages:
    return question_of(data, next(name for name in ANSWERS if data.get(name)))


def _text(data: Mapping[str, Any]) -> Messages:
    return [("$.text", {"role": "user", "content": text_of(data["text"], "$.text")})]


# The field of an answer, by the field of its question.
ANSWERS: Mapping[str, str] = {"query": "response", "prompt": "completion", "instruction": "output"}
# A row's messages, by the name of its form.
_READERS: Mapping[str, Callable[[Mapping[str, Any]], Messages]] = {
    "messages": _listed,
    "conversations": _listed,
    "alpaca": _pair("instruction", "output"),
    "query-response": _pair("query", "response"),
    "prompt-completion": _pair("prompt", "completion"),
    "prompt": _asked,
    "text": _text,
}
