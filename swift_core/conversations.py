"""Conversations in the spellings in use, brought into OpenAI's: `role` and `content`, tool calls as objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from swift_core.errors import suggestion

Message = Mapping[str, Any]

# Every spelling of a role in use → OpenAI's. A "call" is an assistant message whose text is the JSON of a tool call.
_ROLES = {
    "system": "system",
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


class Wrong(Exception):
    """A fault at a JSON path (`$.messages[2].role`) of a row; whoever knows file and row makes an error of it."""

    def __init__(self, path: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.path, self.message, self.hint = path, message, hint


def _listed(data: Mapping[str, Any]) -> Iterator[Message]:
    name = "messages" if data.get("messages") is not None else "conversations"
    return _messages(data[name], f"$.{name}")


def _alpaca(data: Mapping[str, Any]) -> Iterator[Message]:
    question = "\n".join(text_of(data[key], f"$.{key}") for key in ("instruction", "input") if data.get(key))
    return _pair(data, question, data["output"], "$.output")


def _query(data: Mapping[str, Any]) -> Iterator[Message]:
    return _pair(data, text_of(data["query"], "$.query"), data["response"], "$.response")


def _prompt(data: Mapping[str, Any]) -> Iterator[Message]:
    for key, role in (("prompt", "user"), ("completion", "assistant")):
        if isinstance(data[key], str):
            yield {"role": role, "content": data[key]}
        else:
            yield from _messages(data[key], f"$.{key}")


def _pair(data: Mapping[str, Any], question: str, answer: Any, path: str) -> Iterator[Message]:
    for number, turn in enumerate(_decoded(data.get("history") or [], "$.history")):
        if not isinstance(turn, list | tuple) or len(turn) != 2:
            raise Wrong(f"$.history[{number}]", "must be a pair: [question, answer]")
        yield {"role": "user", "content": text_of(turn[0], f"$.history[{number}][0]")}
        yield {"role": "assistant", "content": text_of(turn[1], f"$.history[{number}][1]")}
    yield {"role": "user", "content": question}
    yield {"role": "assistant", "content": text_of(answer, path)}


# A row's messages, by the name of its form.
READERS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Message]]] = {
    "messages": _listed,
    "conversations": _listed,
    "alpaca": _alpaca,
    "query-response": _query,
    "prompt-completion": _prompt,
}


def _messages(value: Any, path: str) -> Iterator[Message]:
    items = _decoded(value, path)
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise Wrong(path, f"must be a list of messages, not {kind_of(items)}")
    if not items:
        raise Wrong(path, "an empty conversation", "Remove the row, or give it messages.")
    for number, item in enumerate(items):
        yield _message(item, f"{path}[{number}]")


def _message(item: Any, path: str) -> Message:
    if not isinstance(item, Mapping):
        raise Wrong(path, f"a message must be an object, not {kind_of(item)}", 'Write {"role": "user", "content": "…"}.')
    said, content = ("from", "value") if "from" in item else ("role", "content")
    if said not in item:
        raise Wrong(path, "a message needs 'role' and 'content'", suggestion(next(iter(item), ""), ["role", "content", "from", "value"]))
    role = _ROLES.get(item[said]) if isinstance(item[said], str) else None
    if role is None:
        near = suggestion(str(item[said]), _ROLES) or "Known: system, user, assistant, tool; human, gpt, function_call, observation."
        raise Wrong(f"{path}.{said}", f"unknown role {item[said]!r}", near)
    rest = {
        key: value for key, value in item.items() if key not in ("role", "content", "from", "value", "tool_calls") and value is not None
    }
    if role == "call":
        return {"role": "assistant", "content": "", **rest, "tool_calls": _calls(item.get(content), f"{path}.{content}")}
    if item.get("tool_calls"):
        rest["tool_calls"] = _calls(item["tool_calls"], f"{path}.tool_calls")
        return {"role": role, "content": text_of(item.get(content) or "", f"{path}.{content}"), **rest}
    if content not in item:
        raise Wrong(path, f"a message needs '{content}'", suggestion(content, [str(key) for key in item if key != said]))
    return {"role": role, "content": text_of(item[content], f"{path}.{content}"), **rest}


def _calls(value: Any, path: str) -> list[dict[str, Any]]:
    """Tool calls in OpenAI's shape; one call or several, bare or wrapped, arguments as an object or as its JSON text."""
    decoded = _decoded(value, path)
    calls = []
    for number, call in enumerate(decoded if isinstance(decoded, list | tuple) else [decoded]):
        at = f"{path}[{number}]" if isinstance(decoded, list | tuple) else path
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise Wrong(at, "a tool call needs a name", 'Write {"name": "search", "arguments": {…}}.')
        arguments = _decoded(function.get("arguments") or {}, f"{at}.arguments")
        if not isinstance(arguments, Mapping):
            raise Wrong(f"{at}.arguments", f"must be an object, not {kind_of(arguments)}")
        given = {"id": call["id"]} if function is not call and call.get("id") else {}
        calls.append({"type": "function", **given, "function": {"name": function["name"], "arguments": arguments}})
    return calls


def tools_of(value: Any) -> tuple[Mapping[str, Any], ...] | None:
    """A row's `tools` in OpenAI's shape, from a list or its JSON text; None where there are none."""
    tools = _decoded(value or [], "$.tools")
    if not isinstance(tools, list | tuple):
        raise Wrong("$.tools", f"must be a list of tools, not {kind_of(tools)}")
    for number, tool in enumerate(tools):
        if not isinstance(tool, Mapping) or not isinstance(tool.get("function", tool), Mapping) or "name" not in tool.get("function", tool):
            raise Wrong(f"$.tools[{number}]", "a tool needs a name", 'Write {"name": "search", "description": "…", "parameters": {…}}.')
    return tuple(tool if "function" in tool else {"type": "function", "function": tool} for tool in tools) or None


def _decoded(value: Any, path: str) -> Any:
    """The value, or what it holds where a table's cell has it as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise Wrong(path, f"not JSON: {error}", f"It reads: {value[:60]!r}") from None


def text_of(value: Any, path: str) -> str:
    """The value at `path`, which must be text."""
    if not isinstance(value, str):
        hint = (
            "Parts other than text (images, audio) can't be trained on yet."
            if isinstance(value, list | tuple)
            else 'Write it in quotes: "…".'
        )
        raise Wrong(path, f"must be text, not {kind_of(value)}", hint)
    return value


def kind_of(value: Any) -> str:
    """A JSON type's name with its article, for messages."""
    names = (
        (bool, "true or false"),
        (str, "text"),
        (int | float, "a number"),
        (Mapping, "an object"),
        (list | tuple, "a list"),
        (type(None), "null"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), type(value).__name__)
