"""Metrics of structured answers: valid JSON, a JSON Schema, tool calls."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from swift_core.contract import UsageError
from swift_core.options import option
from swift_evaluate.metrics.metric import Graded, Metric

_LEFT_OUT = re.compile(r"[ ,./\-_*^]")


class JsonValid(Metric):
    """1 if the answer is JSON; a fenced code block counts as its content."""

    def check(self, row: Mapping[str, Any], expected: Sequence[str]) -> None:
        """Need nothing of the row."""

    def score(self, given: Graded) -> Mapping[str, float]:
        """Return `json_valid`."""
        return {"json_valid": float(_parsed(given.text)[0])}


class SchemaValid(Metric):
    """1 if the answer is JSON that a JSON Schema accepts."""

    json_schema: dict[str, Any] = option(dict, "JSON Schema; default: that of each row, in its field `schema`.")

    def check(self, row: Mapping[str, Any], expected: Sequence[str]) -> None:
        """Check that there is a valid schema."""
        schema = self._schema(row)
        if not isinstance(schema, Mapping):
            raise ValueError("the row has no JSON Schema in its field 'schema'")
        jsonschema = _jsonschema()
        try:
            jsonschema.validators.validator_for(schema).check_schema(schema)
        except jsonschema.SchemaError as error:
            raise ValueError(f"the JSON Schema is invalid: {error.message}") from None

    def score(self, given: Graded) -> Mapping[str, float]:
        """Return `schema_valid`."""
        valid, value = _parsed(given.text)
        schema = self._schema(given.row)
        return {"schema_valid": float(valid and _jsonschema().validators.validator_for(schema)(schema).is_valid(value))}

    def _schema(self, row: Mapping[str, Any]) -> Any:
        if self.json_schema:
            return self.json_schema
        schema = row.get("schema")
        return json.loads(schema) if isinstance(schema, str) else schema


class ToolCall(Metric):
    """1 if the answer calls the expected tools with the expected arguments, in any order.

    The row's `tool_calls` is a list of `{"name": …, "arguments": {…}}`. As in BFCL, an argument may be a list of `accepted` values:
    `{"name": …, "accepted": {"city": ["Paris", "Paris, France"], "unit": ["celsius", ""]}}`, where "" means that it may be left out; texts
    are compared without case, spaces and the punctuation that BFCL leaves out.
    """

    version: ClassVar[str] = "2"

    def check(self, row: Mapping[str, Any], expected: Sequence[str]) -> None:
        """Check that the row has the expected calls."""
        calls = row.get("tool_calls")
        if not isinstance(calls, list):
            raise ValueError("the row has no list 'tool_calls'")
        for call in calls:
            if (
                not isinstance(call, Mapping)
                or not call.get("name")
                or not isinstance(call.get("accepted", call.get("arguments")), Mapping)
            ):
                raise ValueError("a tool call needs a 'name' and 'arguments' (or 'accepted')")

    def score(self, given: Graded) -> Mapping[str, float]:
        """Return `tool_call`."""
        left = list(given.row["tool_calls"])
        calls = given.message.get("tool_calls") or []
        matching = len(calls) == len(left) and _assigned([_called(call) for call in calls], left)
        return {"tool_call": float(matching)}


def _assigned(calls: Sequence[tuple[str, Any]], expected: list[Any]) -> bool:
    """True if the calls can be assigned to the expected ones, one to one."""
    if not calls:
        return True
    return any(
        _matches(calls[0], candidate) and _assigned(calls[1:], [*expected[:place], *expected[place + 1 :]])
        for place, candidate in enumerate(expected)
    )


def _called(call: Mapping[str, Any]) -> tuple[str, Any]:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    valid, value = _parsed(arguments) if isinstance(arguments, str) else (True, arguments)
    return str(function.get("name", "")), value if valid else None


def _matches(call: tuple[str, Any], expected: Mapping[str, Any]) -> bool:
    name, arguments = call
    if name != expected["name"] or not isinstance(arguments, Mapping):
        return False
    if "accepted" not in expected:
        return _same(arguments, expected["arguments"])
    accepted = expected["accepted"]
    required = [argument for argument, values in accepted.items() if "" not in values]
    return all(argument in arguments for argument in required) and all(
        argument in accepted and any(_same(_plain(value), _plain(candidate)) for candidate in accepted[argument])
        for argument, value in arguments.items()
    )


def _plain(value: Any) -> Any:
    """Return a JSON value with its texts as BFCL compares them (`standardize_string`)."""
    if isinstance(value, str):
        return _LEFT_OUT.sub("", value).lower().replace("'", '"')
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _same(one: Any, other: Any) -> bool:
    """True if two JSON values are equal; `1` and `1.0` are, `1` and `true` are not."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _parsed(text: str) -> tuple[bool, Any]:
    """Return whether the text is JSON, and its value."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        text = text.partition("\n")[2].removesuffix("```")
    try:
        return True, json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return False, None


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _jsonschema() -> Any:
    try:
        import jsonschema
    except ImportError:
        raise UsageError("schema-valid needs jsonschema", code="EVAL-094", hint="pip install 'swift-evaluate[schema]'") from None
    return jsonschema
