"""Tool calls in an answer's text: how the families of models write them, as a table.

A parser is a mark with which calls begin, and a function from the text that begins there to the calls. What it can't read stays text.
"""

from __future__ import annotations

import ast
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swift_http.stops import undecided


@dataclass(frozen=True, slots=True)
class Call:
    """A call: the function's name, and its arguments as JSON text."""

    name: str
    arguments: str

    def form(self) -> dict[str, Any]:
        """OpenAI's form of it, with a new id."""
        return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass(frozen=True, slots=True)
class ToolParser:
    """`marks` begin the calls (the earliest counts); `read` raises ValueError, TypeError or KeyError for text that holds none.

    Where `first` is true a mark counts only at the very beginning of an answer.
    """

    marks: Sequence[str]
    read: Callable[[str], list[Call]]
    first: bool = False

    def calls(self, text: str) -> list[Call]:
        """The calls in a text that begins with a mark; none where it can't be read."""
        try:
            return self.read(text.strip())
        except (ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError):  # the last two: nested too deep to be read
            return []


def _call(value: Any) -> Call:
    if not isinstance(value, dict) or not isinstance(value["name"], str) or not value["name"]:
        raise ValueError("a call is an object with a name")
    arguments = value.get("arguments", value.get("parameters", {}))
    given = json.loads(arguments) if isinstance(arguments, str) else arguments
    if not isinstance(given, dict):
        raise ValueError("arguments are an object")
    text = json.dumps(given, ensure_ascii=False, allow_nan=False)  # Python reads NaN and infinities, which JSON does not have
    return Call(value["name"], arguments if isinstance(arguments, str) else text)


def _between(begin: str, end: str) -> Callable[[str], list[Call]]:
    """JSON objects, each between two marks; the last one may lack its end."""

    def read(text: str) -> list[Call]:
        parts = [part.partition(end)[0] for part in text.split(begin)[1:]]
        return [_call(json.loads(part)) for part in parts]

    return read


def objects(text: str) -> list[Call]:
    """Objects one after the other, or a list of them; marks before them and semicolons between them are passed over."""
    decoder, calls = json.JSONDecoder(), []
    text = re.sub(r"^(<\|?[a-z_]+\|?>|functools|\[TOOL_CALLS\])\s*", "", text, flags=re.IGNORECASE)
    while text:
        value, end = decoder.raw_decode(text)
        calls += [_call(item) for item in (value if isinstance(value, list) else [value])]
        text = text[end:].lstrip("; \n\t")
    return calls


def _mistral(text: str) -> list[Call]:
    """[TOOL_CALLS][{…}], and the newer [TOOL_CALLS]name[ARGS]{…}."""
    parts = [part.strip() for part in text.split("[TOOL_CALLS]")[1:]]
    calls = []
    for part in parts:
        if part.startswith(("[", "{")):
            calls += objects(part)
        else:
            found = re.match(r"([\w.-]+?)(?:\[CALL_ID\]\w+)?(?:\[ARGS\])?(\{.*)", part, re.DOTALL)
            if not found:
                raise ValueError("no call")
            calls.append(_call({"name": found[1], "arguments": json.JSONDecoder().raw_decode(found[2])[0]}))
    return calls


def _xml(text: str) -> list[Call]:
    """<function=name><parameter=key>value</parameter></function>; a value is JSON, or a text."""
    calls = []
    for name, body in re.findall(r"<function=([^>\n]+)>(.*?)(?:</function>|$)", text, re.DOTALL):
        pairs = re.findall(r"<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>", body, re.DOTALL)
        calls.append(_call({"name": name.strip(), "arguments": {key.strip(): _value(value) for key, value in pairs}}))
    return calls


def _glm(text: str) -> list[Call]:
    """<tool_call>name <arg_key>key</arg_key><arg_value>value</arg_value></tool_call>."""
    calls = []
    for body in [part.partition("</tool_call>")[0] for part in text.split("<tool_call>")[1:]]:
        pairs = re.findall(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", body, re.DOTALL)
        calls.append(
            _call({"name": body.partition("<arg_key>")[0].strip(), "arguments": {key.strip(): _value(text) for key, text in pairs}})
        )
    return calls


def _python(text: str) -> list[Call]:
    """[name(key=value, …), …] in Python's own syntax, or one call a line; nothing of it is run."""
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


class CallFilter:
    """An answer's text as it grows, without its calls, which come at the end."""

    def __init__(self, parser: ToolParser) -> None:
        self._parser = parser
        self._text = ""
        self._shown = 0

    def push(self, text: str) -> str:
        """What is certainly no call and can be shown now."""
        self._text += text
        return self._show(self._certain())

    def finish(self) -> tuple[str, list[Call]]:
        """The rest of the text, and the calls; what looked like calls and is none is text."""
        begin = self._begin()
        calls = self._parser.calls(self._text[begin:]) if begin >= 0 else []
        return self._show(begin if calls else len(self._text)), calls

    def _show(self, end: int) -> str:
        begin, self._shown = self._shown, max(end, self._shown)
        return self._text[begin : self._shown]

    def _begin(self) -> int:
        """Where the calls begin; -1: nowhere yet."""
        if self._parser.first:
            bare = self._text.lstrip()
            return len(self._text) - len(bare) if bare.startswith(tuple(self._parser.marks)) else -1
        return min((at for at in map(self._text.find, self._parser.marks) if at >= 0), default=-1)

    def _certain(self) -> int:
        begin = self._begin()
        if begin >= 0:
            return begin
        if self._parser.first:
            may_come = any(mark.startswith(self._text.lstrip()) for mark in self._parser.marks)
            return 0 if may_come else len(self._text)
        return len(self._text) - undecided(self._text, self._parser.marks)


PARSERS: Mapping[str, ToolParser] = {
    "hermes": ToolParser(("<tool_call>",), _between("<tool_call>", "</tool_call>")),
    "llama3_json": ToolParser(("<|python_tag|>", "{"), objects, first=True),
    "mistral": ToolParser(("[TOOL_CALLS]",), _mistral),
    "qwen3_coder": ToolParser(("<tool_call>", "<function="), _xml),
    "glm45": ToolParser(("<tool_call>",), _glm),
    "glm47": ToolParser(("<tool_call>",), _glm),
    "granite": ToolParser(("<|tool_call|>", "<tool_call>", "["), objects, first=True),
    "granite4": ToolParser(("<tool_call>",), _between("<tool_call>", "</tool_call>")),
    "phi4_mini_json": ToolParser(("functools",), objects, first=True),
    "llama4_pythonic": ToolParser(("<|python_start|>", "["), _python, first=True),
    "olmo3": ToolParser(("<function_calls>",), _python),
}
"""By the names that vLLM has for them (`--tool-call-parser`), which are those of `ModelFamily.tool_parser`."""
