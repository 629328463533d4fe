"""Tools and calls of them, in the spellings of OpenAI, Anthropic and ShareGPT, brought into OpenAI's with arguments as objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_core.rows.values import Wrong, decoded, kind_of

_ARGUMENTS = ("arguments", "input", "parameters", "args")  # OpenAI's name of them, Anthropic's, Llama's, LangChain's
READ = frozenset(("type", "id", "index", "name", *_ARGUMENTS))  # of a call


def calls_of(value: Any, path: str) -> list[dict[str, Any]]:
    """Tool calls in OpenAI's shape; one call or several, bare or wrapped, arguments as an object or as its JSON text."""
    found = decoded(value, path)
    if not isinstance(found, list | tuple):
        return [_call(found, path)]
    if not found:
        raise Wrong(path, "an empty list of tool calls", 'Write {"name": "search", "arguments": {…}}, or what was said instead.')
    return [_call(call, f"{path}[{number}]") for number, call in enumerate(found)]


def _call(call: Any, path: str) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        raise Wrong(path, "a tool call needs a name", 'Write {"name": "search", "arguments": {…}}.')
    named = [key for key in _ARGUMENTS if function.get(key) is not None]
    if len(named) > 1:
        raise Wrong(f"{path}.{named[1]}", f"the arguments stand twice: here, and in '{named[0]}'", "Keep one of them.")
    key = named[0] if named else "arguments"
    path = f"{path}.function.{key}" if function is not call else f"{path}.{key}"
    given = function.get(key)
    arguments = {} if given is None or given == "" else decoded(given, path)
    if not isinstance(arguments, Mapping):
        raise Wrong(path, f"must be an object, not {kind_of(arguments)}", 'Arguments have names: {"query": "…"}.')
    identity = {"id": call["id"]} if call.get("id") else {}
    return {"type": "function", **identity, "function": {"name": function["name"], "arguments": arguments}}


def tools_of(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...] | None:
    """A row's `tools` (or `functions`, OpenAI's first name) in OpenAI's shape, from a list or its JSON text; None if there are none."""
    given = [name for name in ("tools", "functions") if data.get(name)]
    if not given:
        return None
    if len(given) > 1:
        raise Wrong("$.functions", "tools twice: here, and in 'tools'", "Keep one of them.")
    path = f"$.{given[0]}"
    tools = decoded(data[given[0]], path)
    if not isinstance(tools, list | tuple):
        raise Wrong(path, f"must be a list of tools, not {kind_of(tools)}")
    return tuple(_tool(decoded(tool, f"{path}[{number}]"), f"{path}[{number}]") for number, tool in enumerate(tools)) or None


def _tool(tool: Any, path: str) -> Mapping[str, Any]:
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or "name" not in function:
        raise Wrong(path, "a tool needs a name", 'Write {"name": "search", "description": "…", "parameters": {…}}.')
    if function is not tool:
        return tool  # type: ignore[no-any-return]  # a Mapping, as was seen above
    if "input_schema" in tool:
        shown = {key: value for key, value in tool.items() if key in ("name", "description")}
        function = {**shown, "parameters": tool["input_schema"]}
    return {"type": "function", "function": function}
