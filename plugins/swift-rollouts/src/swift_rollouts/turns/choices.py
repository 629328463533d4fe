"""The scheduler and the tools that options name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swift_rollouts.user_code.choices import CodeChoice, code_choices

MCP = "mcp:"  # before the URL or command of an MCP server


def scheduler_choice(name: str, modules: Sequence[str]) -> CodeChoice | None:
    """Return the scheduler of the option `multi_turn_scheduler`, if there is one; raises as `code_choices` does."""
    return next(iter(code_choices([name] if name else [], "scheduler", "multi_turn_scheduler", modules)), None)


def tool_choices(names: Sequence[Any], modules: Sequence[str]) -> list[CodeChoice]:
    """Return the tools of the option `tools`, and its MCP servers, whose names begin with `MCP`; raises as `code_choices` does."""
    servers = [str(name) for name in names if str(name).startswith(MCP)]
    functions = code_choices([name for name in names if str(name) not in servers], "tool", "tools", modules)
    return [*functions, *(CodeChoice(name) for name in dict.fromkeys(servers))]


def mcp_server(choice: CodeChoice) -> str:
    """Return the URL or command of the MCP server that a choice names; '' if it names a function."""
    return choice.name.removeprefix(MCP) if choice.name.startswith(MCP) else ""
