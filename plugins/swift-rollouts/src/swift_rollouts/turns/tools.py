"""Tools, Python functions and those of MCP servers: their schemas, and their results as messages."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from swift_core.contract import SwiftError, UsageError
from swift_rollouts.turns.choices import mcp_server
from swift_rollouts.turns.mcp_servers.client import McpClient, schemas_of
from swift_rollouts.user_code import loading
from swift_rollouts.user_code.choices import CodeChoice


def load_tool(choice: CodeChoice) -> Callable[..., Any]:
    """Return a tool's function.

    Raises:
        UsageError: it does not exist, or is a class or something else.
    """
    where = f"tools.{choice.name}"
    function: Callable[..., Any] = loading.load(choice, where)
    if not inspect.isroutine(function):
        hint = "Give a function; an environment is given as --multi-turn-scheduler."
        raise UsageError(f"the tool '{choice.name}' is not a function", code="RL-044", where=where, hint=hint)
    return function


def tool_schemas(choices: Sequence[CodeChoice], timeout: float) -> list[dict[str, Any]]:
    """Return the schemas of functions, from their annotations and docstrings (`transformers.utils.get_json_schema`), and of MCP servers.

    Args:
        choices: the tools.
        timeout: maximum seconds for a server.

    Raises:
        UsageError: a function does not exist, or its docstring describes no argument; there is no such server; two tools have one name.
    """
    from transformers.utils.chat_template_utils import get_json_schema

    found: list[dict[str, Any]] = []
    for choice in choices:
        if server := mcp_server(choice):
            found += schemas_of(server, timeout)
            continue
        where = f"tools.{choice.name}"
        function = load_tool(choice)
        try:
            found.append(get_json_schema(function))
        except Exception as error:
            hint = "Give each argument a type, and the docstring a section 'Args:' with a line for each, as in Google's style."
            raise UsageError(f"the tool '{choice.name}' has no schema: {error}", code="RL-039", where=where, hint=hint) from error
    names = [each["function"]["name"] for each in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        message = f"two tools have the name '{twice[0]}'"
        raise UsageError(message, code="RL-059", where="tools", hint="Rename one: the model calls tools by their names.")
    return found


@contextmanager
def loaded_tools(choices: Sequence[CodeChoice], timeout: float) -> Iterator[dict[str, Callable[..., Any]]]:
    """While the context lasts, the MCP servers among the tools are connected; give what is called, by name."""
    with ExitStack() as stack:
        found: dict[str, Callable[..., Any]] = {}
        for choice in choices:
            if server := mcp_server(choice):
                client = stack.enter_context(McpClient(server, timeout))
                for schema in client.schemas():
                    name = schema["function"]["name"]
                    found[name] = partial(_call, client, name)
            else:
                found[choice.name] = load_tool(choice)
        yield found


def _call(client: McpClient, tool: str, /, **arguments: Any) -> str:
    return client.call(tool, arguments)


class Tools:
    """Calls tools as the model asks.

    Args:
        functions: by name.
    """

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self._functions = functions

    def results(self, calls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return a message for each call. What goes wrong is told to the model, which has to learn from it."""
        return [
            {"role": "tool", "name": call["function"]["name"], "tool_call_id": call["id"], "content": self._result(call["function"])}
            for call in calls
        ]

    def _result(self, call: Mapping[str, Any]) -> str:
        function = self._functions.get(call["name"])
        if function is None:
            return f"Error: there is no tool '{call['name']}'; tools: {', '.join(self._functions)}."
        try:
            found = function(**call["arguments"])
        except SwiftError:  # of a server, not of the tool
            raise
        except Exception as error:
            return f"Error: {type(error).__name__}: {error}"
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, default=str)
