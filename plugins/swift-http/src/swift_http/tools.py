"""Parsers of tool calls in generated text, one for each format that model families use.

A parser has the markers with which calls begin, and a function that parses the text from there on. Text that can't be parsed stays text.
"""

from __future__ import annotations

import ast
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swift_http.stop_strings import partial_match_length


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call: the function's name, and its arguments as JSON text."""

    name: str  # of the function
    arguments: str  # as JSON

    def to_openai(self) -> dict[str, Any]:
        """Return the call in OpenAI's format, with a new id."""
        return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass(frozen=True, slots=True)
class ToolParser:
    """A format of tool calls.

    Attributes:
        markers: strings that begin the calls; the earliest in the text counts.
        parse: turns the text from the marker on into calls; raises ValueError, TypeError or KeyError if it contains none.
        only_at_start: a marker counts only at the very beginning of the completion.
    """

    markers: Sequence[str]
    parse: Callable[[str], list[Call]]
    only_at_start: bool = False

    def calls(self, text: str) -> list[Call]:
        """Return the calls in a text that begins with a marker; empty if it can't be parsed."""
        try:
            return self.parse(text.strip())
        except (ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError):  # the last two: nested too deep
            return []


def _call(value: Any) -> Call:
    if not isinstance(value, dict) or not isinstance(value["name"], str) or not value["name"]:
        raise ValueError("a call must be an object with a name")
    arguments = value.get("arguments", value.get("parameters", {}))
    given = json.loads(arguments) if isinstance(arguments, str) else arguments
    if not isinstance(given, dict):
        raise ValueError("arguments must be an object")
    text = json.dumps(given, ensure_ascii=False, allow_nan=False)  # Python parses NaN and infinities, which JSON does not have
    return Call(value["name"], arguments if isinstance(arguments, str) else text)


def _between(begin: str, end: str) -> Callable[[str], list[Call]]:
    """Return a parser of JSON objects, each between two markers; the last end marker may be missing."""

    def parse(text: str) -> list[Call]:
        parts = [part.partition(end)[0] for part in text.split(begin)[1:]]
        return [_call(json.loads(part)) for part in parts]

    return parse


def json_calls(text: str) -> list[Call]:
    """Parse consecutive JSON objects or a list of them; a marker before them and semicolons between them are skipped."""
    decoder, calls = json.JSONDecoder(), []
    text = re.sub(r"^(<\|?[a-z_]+\|?>|functools|\[TOOL_CALLS\])\s*", "", text, flags=re.IGNORECASE)
    while text:
        value, end = decoder.raw_decode(text)
        calls += [_call(item) for item in (value if isinstance(value, list) else [value])]
        text = text[end:].lstrip("; \n\t")
    return calls


def _mistral(text: str) -> list[Call]:
    """Parse [TOOL_CALLS][{…}], and the newer [TOOL_CALLS]name[ARGS]{…}."""
    parts = [part.strip() for part in text.split("[TOOL_CALLS]")[1:]]
    calls = []
    for part in parts:
        if part.startswith(("[", "{")):
            calls += json_calls(part)
        else:
            found = re.match(r"([\w.-]+?)(?:\[CALL_ID\]\w+)?(?:\[ARGS\])?(\{.*)", part, re.DOTALL)
            if not found:
                raise ValueError("no call")
            calls.append(_call({"name": found[1], "arguments": json.JSONDecoder().raw_decode(found[2])[0]}))
    return calls


def _xml(text: str) -> list[Call]:
    """Parse <function=name><parameter=key>value</parameter></function>; a value is JSON or plain text."""
    calls = []
    for name, body in re.findall(r"<function=([^>\n]+)>(.*?)(?:</function>|$)", text, re.DOTALL):
        pairs = re.findall(r"<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>", body, re.DOTALL)
        calls.append(_call({"name": name.strip(), "arguments": {key.strip(): _value(value) for key, value in pairs}}))
    return calls


def _glm(text: str) -> list[Call]:
    """Parse <tool_call>name <arg_key>key</arg_key><arg_value>value</arg_value></tool_call>."""
    calls = []
    for body in [part.partition("</tool_call>")[0] for part in text.split("<tool_call>")[1:]]:
        pairs = re.findall(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", body, re.DOTALL)
        calls.append(
            _call({"name": body.partition("<arg_key>")[0].strip(), "arguments": {key.strip(): _value(text) for key, text in pairs}})
        )
    return calls


def _python(text: str) -> list[Call]:
    """Parse [name(key=value, …), …] in Python syntax, or one call per line; nothing is executed."""
    statements = ast.parse(re.sub(r"^<function_calls>|</function_calls>$|<\|python_(start|end)\|>", "", text).strip()).body
    calls = []
    for statement in statements:
        value = getattr(statement, "value", None)
        for item in value.elts if isinstance(value, ast.List) else [value]:
            if not isinstance(item, ast.Call) or item.args:
                raise ValueError("no call")
            arguments = {str(pair.arg): ast.literal_eval(pair.value) for pair in item.keywords}
            calls.append(_call({"name": ast.unparse(item.func), "arguments": arguments}))
    return calls


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class ToolCallFilter:
    """Incremental filter that removes tool calls from the generated text and returns them at the end."""

    def __init__(self, parser: ToolParser) -> None:
        self._parser = parser
        self._text = ""
        self._returned = 0

    def push(self, text: str) -> str:
        """Add text and return what is certainly not part of a call."""
        self._text += text
        return self._take(self._certain_length())

    def finish(self) -> tuple[str, list[Call]]:
        """Return the remaining text and the calls; what looked like a call and can't be parsed is text."""
        begin = self._calls_start()
        calls = self._parser.calls(self._text[begin:]) if begin >= 0 else []
        return self._take(begin if calls else len(self._text)), calls

    def _take(self, end: int) -> str:
        begin, self._returned = self._returned, max(end, self._returned)
        return self._text[begin : self._returned]

    def _calls_start(self) -> int:
        """Return the position at which the calls begin; -1 if there is none yet."""
        if self._parser.only_at_start:
            bare = self._text.lstrip()
            return len(self._text) - len(bare) if bare.startswith(tuple(self._parser.markers)) else -1
        return min((found for found in map(self._text.find, self._parser.markers) if found >= 0), default=-1)

    def _certain_length(self) -> int:
        begin = self._calls_start()
        if begin >= 0:
            return begin
        if self._parser.only_at_start:
            may_come = any(marker.startswith(self._text.lstrip()) for marker in self._parser.markers)
            return 0 if may_come else len(self._text)
        return len(self._text) - partial_match_length(self._text, self._parser.markers)


PARSERS: Mapping[str, ToolParser] = {
    "hermes": ToolParser(("<tool_call>",), _between("<tool_call>", "</tool_call>")),
    "llama3_json": ToolParser(("<|python_tag|>", "{"), json_calls, only_at_start=True),
    "mistral": ToolParser(("[TOOL_CALLS]",), _mistral),
    "qwen3_coder": ToolParser(("<tool_call>", "<function="), _xml),
    "glm45": ToolParser(("<tool_call>",), _glm),
    "glm47": ToolParser(("<tool_call>",), _glm),
    "granite": ToolParser(("<|tool_call|>", "<tool_call>", "["), json_calls, only_at_start=True),
    "granite4": ToolParser(("<tool_call>",), _between("<tool_call>", "</tool_call>")),
    "phi4_mini_json": ToolParser(("functools",), json_calls, only_at_start=True),
    "llama4_pythonic": ToolParser(("<|python_start|>", "["), _python, only_at_start=True),
    "olmo3": ToolParser(("<function_calls>",), _python),
}
"""By vLLM's names (`--tool-call-parser`), which are also those of `ModelFamily.tool_parser`."""
