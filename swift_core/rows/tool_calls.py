"""Tools and calls of them, in the spellings of OpenAI, Anthropic and ShareGPT, brought into OpenAI's with arguments as objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_core.rows.values import Wrong, decoded, kind_of


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
    key = "input" if "input" in function and "arguments" not in function else "arguments"  # Anthropic's name of them
    path = f"{path}.function.{key}" if function is not call else f"{path}.{key}"
    given = function.get(key)
    arguments = {} if given is None or given == "" else decoded(given, path)
    if not isinstance(arguments, Mapping):
        raise Wrong(path, f"must be an object, not {kind_of(arguments)}", 'Arguments have names: {"query": "…"}.')
    identity = {"id": call["id"]} if call.get("id") else {}
    return {"type": "function", **identity, "function": {"name": function["name"], "arguments": arguments}}


def tools_of(value: Any) -> tuple[Mapping[str, Any], ...] | None:
    """A row's `tools` in OpenAI's shape, from a list or its JSON text; None where there are none."""
    if not value:
        return None
    tools = decoded(value, "$.tools")
    if not isinstance(tools, list | tuple):
        raise Wrong("$.tools", f"must be a list of tools, not {kind_of(tools)}")
    return tuple(_tool(decoded(tool, f"$.tools[{number}]"), f"$.tools[{number}]") for number, tool in enumerate(tools)) or None


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
