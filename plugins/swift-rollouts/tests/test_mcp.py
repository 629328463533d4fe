"""Tools of a real MCP server over stdio: their definitions, results and errors; servers that are none, die or hang."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from swift_rollouts.turns.choices import tool_choices
from swift_rollouts.turns.mcp_servers.client import McpClient
from swift_rollouts.turns.process import TurnProcess
from swift_rollouts.turns.scheduler import Conversation
from swift_rollouts.turns.tools import tool_schemas

from swift_core.contract import SwiftError, UsageError

SERVER = '''
import os
import time

from mcp.server.mcpserver import MCPServer

server = MCPServer("sums")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def divide(a: int, b: int) -> float:
    """Divide two numbers."""
    return a / b


@server.tool()
def pid() -> int:
    """Return the process of the server."""
    return os.getpid()


@server.tool()
def die() -> str:
    """End the server."""
    os._exit(3)


@server.tool()
def hang() -> str:
    """Return much later."""
    time.sleep(3600)
    return "late"


server.run()
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The option that names the server."""
    path = tmp_path_factory.mktemp("mcp") / "server.py"
    path.write_text(SERVER)
    return f"mcp:{sys.executable} {path}"


def ask(process, *calls):
    called = [{"id": str(number), "function": {"name": name, "arguments": given}} for number, (name, given) in enumerate(calls)]
    messages = [{"role": "assistant", "content": "", "tool_calls": called}]
    reply = process.reply(Conversation(id="0", messages=messages, fields={}, turns=1, seed=0))
    return [message["content"] for message in reply.messages]


def test_tools_are_listed_and_called_and_their_errors_are_told_to_the_model(server):
    schemas = {schema["function"]["name"]: schema["function"] for schema in tool_schemas(tool_choices([server], []), 60)}
    assert set(schemas) == {"add", "divide", "pid", "die", "hang"}
    assert schemas["add"]["description"] == "Add two numbers."
    assert schemas["add"]["parameters"]["properties"]["a"]["type"] == "integer"
    assert schemas["add"]["parameters"]["required"] == ["a", "b"]
    with TurnProcess(None, tool_choices([server], []), 60) as process:
        calls = ("add", {"a": 2, "b": 3}), ("divide", {"a": 1, "b": 0}), ("add", {"a": 1}), ("subtract", {}), ("pid", {})
        right, wrong, lacking, unknown, own = ask(process, *calls)
    assert right == "5"
    assert all(text.startswith("Error:") for text in (wrong, lacking, unknown))
    end = time.monotonic() + 10
    while Path(f"/proc/{own}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{own}").exists()  # TurnProcess kills its process, and the server with it


def test_a_server_that_dies_ends_the_run_with_its_name(server):
    with TurnProcess(None, tool_choices([server], []), 60) as process, pytest.raises(SwiftError) as caught:
        ask(process, ("die", {}))
    assert (caught.value.code, caught.value.where) == ("RL-058", server.removeprefix("mcp:"))
    assert "'die'" in caught.value.message


def test_a_server_that_hangs_ends_the_run_in_time(server):
    with McpClient(server.removeprefix("mcp:"), 10.0) as client, pytest.raises(SwiftError) as caught:
        client.call("hang", {})
    assert caught.value.code == "RL-058"


@pytest.mark.parametrize("command", ["no-such-command-here", f"{sys.executable} -c pass", "http://127.0.0.1:9/mcp"])
def test_what_is_no_server_is_named(command):
    with pytest.raises(UsageError) as caught:
        tool_schemas(tool_choices([f"mcp:{command}"], []), 20)
    assert (caught.value.code, caught.value.where) == ("RL-057", command)


def test_two_tools_of_one_name_are_refused(server, tmp_path):
    (tmp_path / "own.py").write_text('def add(a: int) -> int:\n    """Add one.\n\n    Args:\n        a: number.\n    """\n    return a\n')
    with pytest.raises(UsageError) as caught:
        tool_schemas(tool_choices([server, f"{tmp_path / 'own.py'}:add"], []), 60)
    assert caught.value.code == "RL-059"
