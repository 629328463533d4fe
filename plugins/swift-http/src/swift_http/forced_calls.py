"""Forced tool calls (`tool_choice`): the functions that may be called, and the parser of such a completion."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from swift_http.engine import Function
from swift_http.errors import ApiError
from swift_http.tools import ToolParser, json_calls

FORCED = ToolParser(("{", "["), json_calls, only_at_start=True)
_COMBINATORS = frozenset({"$ref", "allOf", "anyOf", "oneOf", "if", "patternProperties", "unevaluatedProperties", "dependentSchemas"})


def forced(tools: Sequence[Mapping[str, Any]], choice: str | None) -> tuple[Function, ...]:
    """Return the functions one of which must be called; empty unless `choice` is `required` or the name of a function.

    Raises:
        ApiError: 400, no tool has that name.
    """
    if choice in (None, "none", "auto"):
        return ()
    functions = [tool["function"] for tool in tools]
    if choice != "required":
        functions = [function for function in functions if function["name"] == choice]
    if not functions:
        why = (
            "requires a call, but the request has no tools"
            if choice == "required"
            else f"names '{str(choice)[:100]}', which is not one of the tools"
        )
        raise ApiError(400, f"tool_choice {why}", param="tool_choice")
    return tuple(Function(function["name"], json.dumps(_arguments(function.get("parameters")))) for function in functions)


def first_call_only(parser: ToolParser) -> ToolParser:
    """Return a parser that keeps the first call and drops the others."""
    return replace(parser, parse=lambda text: parser.parse(text)[:1])


def _arguments(parameters: Any) -> dict[str, Any]:
    """Return the schema of the arguments; it forbids unnamed arguments unless it allows them explicitly, so that generation ends."""
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        raise ApiError(400, "the parameters of a function must be a JSON Schema (an object)", param="tools")
    schema = {"type": "object", "properties": {}, **parameters}
    if schema["type"] != "object":
        raise ApiError(400, "the parameters of a function must have type object", param="tools")
    return schema if _COMBINATORS & schema.keys() else {"additionalProperties": False, **schema}
