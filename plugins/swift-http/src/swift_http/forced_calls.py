"""Calls that have to come: what the answer may be, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from swift_http.engine import Function
from swift_http.errors import ApiError
from swift_http.tools import ToolParser, objects

FORCED = ToolParser(("{", "["), objects, first=True)
_COMBINES = frozenset({"$ref", "allOf", "anyOf", "oneOf", "if", "patternProperties", "unevaluatedProperties", "dependentSchemas"})


def forced(tools: Sequence[Mapping[str, Any]], choice: str | None) -> tuple[Function, ...]:
    """The functions of which one has to be called; none, unless the choice is `required` or one of their names.

    Raises:
        ApiError: 400, there is no such function.
    """
    if choice in (None, "none", "auto"):
        return ()
    functions = [tool["function"] for tool in tools]
    if choice != "required":
        functions = [function for function in functions if function["name"] == choice]
    if not functions:
        why = (
            "requires a call, and there are no tools"
            if choice == "required"
            else f"names '{str(choice)[:100]}', which is not among the tools"
        )
        raise ApiError(400, f"tool_choice {why}", param="tool_choice")
    return tuple(Function(function["name"], json.dumps(_arguments(function.get("parameters")))) for function in functions)


def one_call(parser: ToolParser) -> ToolParser:
    """The parser of answers that may hold one call: others that follow are left out."""
    return replace(parser, read=lambda text: parser.read(text)[:1])


def _arguments(parameters: Any) -> dict[str, Any]:
    """The schema of the arguments: those that are named and, where the schema leaves that open, no others, so that they come to an end."""
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        raise ApiError(400, "the parameters of a function are a JSON Schema, an object", param="tools")
    schema = {"type": "object", "properties": {}, **parameters}
    if schema["type"] != "object":
        raise ApiError(400, "the parameters of a function are of type object", param="tools")
    return schema if _COMBINES & schema.keys() else {"additionalProperties": False, **schema}
