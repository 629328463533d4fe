"""A client of an MCP server, for threads: connected once, asked by name and arguments.

A server is a URL (Streamable HTTP), or a command that is started and spoken to over its stdin and stdout.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from functools import cache
from types import TracebackType
from typing import Any

from swift_core.contract import SwiftError, UsageError

_CHILD = "swift_rollouts.turns.mcp_servers.child"
_WHERE = "tools"


class McpClient:
    """A context manager with a connection to an MCP server.

    Args:
        server: URL, or command line.
        timeout: maximum seconds for the connection, and for a call.
    """

    def __init__(self, server: str, timeout: float) -> None:
        self.server, self._timeout = server, timeout
        self._loop = asyncio.new_event_loop()
        self._client: Any = None
        self._end = asyncio.Event()
        self._ended: Future[None] | None = None

    def __enter__(self) -> McpClient:
        """Start the server, or connect to it.

        Raises:
            UsageError: the client library is not installed; the command can't be started, or does not speak MCP; nothing answers.
        """
        try:
            from mcp import Client, StdioServerParameters
        except ModuleNotFoundError:
            hint = "pip install 'swift-rollouts[mcp]'"
            raise UsageError("tools of MCP servers need the package mcp", code="RL-056", where=_WHERE, hint=hint) from None
        target: Any = self.server
        if "://" not in self.server:
            words = shlex.split(self.server)
            target = StdioServerParameters(command=sys.executable, args=["-P", "-m", _CHILD, *words])
        threading.Thread(target=self._loop.run_forever, name="mcp", daemon=True).start()
        ready: Future[None] = Future()
        client = Client(target, read_timeout_seconds=self._timeout)
        self._ended = asyncio.run_coroutine_threadsafe(self._hold(client, ready), self._loop)
        try:
            ready.result(self._timeout)
        except Exception as error:
            self._ended.cancel()
            hint = "Start the command by hand and see what it says; log.txt in the run folder has its stderr."
            raise UsageError(f"no MCP server: {_reason(error)}", code="RL-057", where=self.server, hint=hint) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        if self._ended:
            self._ended.exception(self._timeout)

    def schemas(self) -> list[dict[str, Any]]:
        """Return the definitions of its tools, as chat templates take them.

        Raises:
            SwiftError: it does not answer.
        """
        found, cursor = [], None
        while True:
            page = self._asked("list its tools", self._client.list_tools(cursor=cursor))
            found += [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description or "", "parameters": dict(tool.input_schema)},
                }
                for tool in page.tools
            ]
            cursor = page.next_cursor
            if not cursor:
                return found

    def call(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Return the result of a tool as text; an error of the tool itself is a text for the model.

        Raises:
            SwiftError: the server has ended, or does not answer in time.
        """
        result = self._asked(f"answer a call of '{tool}'", self._client.call_tool(tool, dict(arguments)))
        texts = [block.text if block.type == "text" else f"[{block.type}]" for block in result.content]
        if not texts and result.structured_content is not None:
            texts = [json.dumps(result.structured_content, ensure_ascii=False)]
        return "Error: " * bool(result.is_error) + "\n".join(texts)

    async def _hold(self, client: Any, ready: Future[None]) -> None:
        """Keep the connection in one task, as its cancel scopes require."""
        try:
            async with client:
                self._client = client
                ready.set_result(None)
                await self._end.wait()
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)

    def _asked(self, what: str, request: Coroutine[Any, Any, Any]) -> Any:
        try:
            return asyncio.run_coroutine_threadsafe(request, self._loop).result(self._timeout + 1)
        except Exception as error:
            hint = "Correct the server, or set a longer --turn-timeout; log.txt in the run folder has its stderr."
            message = f"the MCP server did not {what}: {_reason(error)}"
            raise SwiftError(message, code="RL-058", where=self.server, hint=hint) from error


@cache
def schemas_of(server: str, timeout: float) -> list[dict[str, Any]]:
    """Return the definitions of the tools of a server, which is asked once; raises as `McpClient` does."""
    with McpClient(server, timeout) as client:
        return client.schemas()


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
