"""`swift eval`: the verb, and commands that begin with another word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from swift_core.cli import VerbCommand
from swift_core.contract import Ref

SUBCOMMANDS: Mapping[str, Ref] = {
    "compare": Ref("swift_evaluate.commands.compare:command"),
    "prepare": Ref("swift_evaluate.commands.prepare:command"),
}


class EvalCommand(VerbCommand):
    """The verb; `swift eval prepare …` and the like are commands of their own."""

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any) -> click.Context:
        """Return the context of the command that the first word names, else of the verb."""
        if args and args[0] in SUBCOMMANDS:
            command: click.Command = SUBCOMMANDS[args[0]].load()
            return command.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)
