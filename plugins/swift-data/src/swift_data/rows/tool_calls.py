"""Tool definitions and tool calls of OpenAI, Anthropic and ShareGPT, converted to OpenAI's format with arguments as objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_data.rows.values import Wrong, decoded, kind_of

_ARGUMENTS = ("arguments", "input", "parameters", "args")  # as named by OpenAI, Anthropic, Llama, LangChain
READ = frozenset(("type", "id", "index", "name", *_ARGUMENTS))  # the fields of a call
_SCHEMAS = ("parameters", "input_schema", "inputSchema", "args", "arguments")  # of a tool, by OpenAI, Anthropic, MCP, LangChain
_ABOUT_TOOLS = frozenset(
    (
        "type",
        "name",
        "description",
        "title",
        "strict",
        "returns",
        "response",
        "outputSchema",
        "annotations",
        "cache_control",
        "defer_loading",
    )
)


def calls_of(value: Any, path: str) -> list[dict[str, Any]]:
    """Convert tool calls to OpenAI's format: one call or a list, bare or wrapped in `function`, arguments as an object or JSON text.

    Raises:
        Wrong: a call has no name, or its arguments are not an object.
    """
    found = decoded(value, path)
    if not isinstance(found, list | tuple):
        return [_call(found, path)]
    if not found:
        raise Wrong(
            path,
            "the list of tool calls is empty",
            'Write {"name": "search", "arguments": {…}}, or the text of the answer.',
            code="DATA-086",
        )
    return [_call(call, f"{path}[{number}]") for number, call in enumerate(found)]


def _call(call: Any, path: str) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        raise Wrong(path, "a tool call needs a name", 'Write {"name": "search", "arguments": {…}}.', code="DATA-087")
    if outside := next((key for key in _ARGUMENTS if function is not call and call.get(key) is not None), ""):
        raise Wrong(
            f"{path}.{outside}",
            "arguments outside of 'function' are not supported",
            "Move them into it, as its 'arguments'.",
            code="DATA-088",
        )
    named = [key for key in _ARGUMENTS if function.get(key) is not None]
    if not named and (other := next((key for key, value in function.items() if key not in READ and isinstance(value, Mapping)), "")):
        raise Wrong(
            f"{path}.{other}",
            f"'{other}' of a tool call is not supported, and there are no 'arguments'",
            "Rename it to 'arguments'.",
            code="DATA-089",
        )
    if len(named) > 1:
        raise Wrong(f"{path}.{named[1]}", f"the arguments are given twice: here, and in '{named[0]}'", "Keep one of them.", code="DATA-090")
    key = named[0] if named else "arguments"
    path = f"{path}.function.{key}" if function is not call else f"{path}.{key}"
    given = function.get(key)
    arguments = {} if given is None or given == "" else decoded(given, path)
    if not isinstance(arguments, Mapping):
        raise Wrong(path, f"must be an object, not {kind_of(arguments)}", 'Write named arguments: {"query": "…"}.', code="DATA-091")
    identity = {"id": call["id"]} if call.get("id") else {}
    return {"type": "function", **identity, "function": {"name": function["name"], "arguments": arguments}}


def tools_of(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...] | None:
    """Return a row's `tools` (or `functions`, OpenAI's former name) in OpenAI's format, from a list or its JSON text, or None.

    Raises:
        Wrong: they are not a list of tools, or are given twice.
    """
    given = [name for name in ("tools", "functions") if data.get(name)]
    if not given:
        return None
    if len(given) > 1:
        raise Wrong("$.functions", "tools are given twice: here, and in 'tools'", "Keep one of them.", code="DATA-092")
    path = f"$.{given[0]}"
    tools = decoded(data[given[0]], path)
    if tools is None:
        return None
    if not isinstance(tools, list | tuple):
        raise Wrong(
            path, f"must be a list of tools, not {kind_of(tools)}", 'Write [{"name": "search", "parameters": {…}}, …].', code="DATA-093"
        )
    return tuple(_tool(decoded(tool, f"{path}[{number}]"), f"{path}[{number}]") for number, tool in enumerate(tools)) or None


def _tool(tool: Any, path: str) -> Mapping[str, Any]:
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        raise Wrong(path, "a tool needs a name", 'Write {"name": "search", "description": "…", "parameters": {…}}.', code="DATA-094")
    wrapper = {key: value for key, value in tool.items() if key != "type"} if function is not tool else {}
    return {"type": "function", **wrapper, "function": _function(function, f"{path}.function" if function is not tool else path)}


def _function(function: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return a tool's function in OpenAI's format: `parameters` is a JSON Schema, and fields that are null are left out."""
    given = {key: value for key, value in function.items() if value is not None}
    named = [key for key in _SCHEMAS if key in given]
    if len(named) > 1:
        raise Wrong(
            f"{path}.{named[1]}", f"the parameters are given twice: here, and in '{named[0]}'", "Keep one of them.", code="DATA-095"
        )
    if not named and (other := next((key for key, value in given.items() if key not in _ABOUT_TOOLS and value), "")):
        raise Wrong(
            f"{path}.{other}",
            f"'{other}' of a tool is not supported, and there are no 'parameters'",
            "Rename it to 'parameters'.",
            code="DATA-096",
        )
    if given.get("type") == "function":  # OpenAI's Responses API has it next to the name
        del given["type"]
    if named == ["input_schema"]:
        given = {key: value for key, value in given.items() if key in ("name", "description", "input_schema")}
    return {
        ("parameters" if key in named else key): (_schema(value, f"{path}.{key}") if key in named else value)
        for key, value in given.items()
    }


def _schema(value: Any, path: str) -> Any:
    """Return a schema as an object; parse the JSON text of a table cell, and drop properties that a table filled with null."""
    found = decoded(value, path)
    if not isinstance(found, Mapping):
        raise Wrong(
            path, f"must be an object, not {kind_of(found)}", 'Write a JSON Schema: {"type": "object", "properties": {…}}.', code="DATA-091"
        )
    return _without_absent(found)


def _without_absent(schema: Any) -> Any:
    if isinstance(schema, list | tuple):
        return [_without_absent(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: {name: _without_absent(part) for name, part in value.items() if part is not None}
        if key == "properties" and isinstance(value, Mapping)
        else _without_absent(value)
        for key, value in schema.items()
    }
