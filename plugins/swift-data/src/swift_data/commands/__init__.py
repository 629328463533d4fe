"""Check, show and convert datasets."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

import click

from swift_core.contract import UsageError
from swift_core.plugins import pip_line
from swift_data.commands import check, convert, schema, show


class DataCommands(click.Group):
    """The subcommands; distributions add some by the entry-point group `swift.commands.data`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands."""
        return [*self.commands, *sorted(_points())]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the subcommand; one of another distribution is imported now.

        Raises:
            UsageError: a distribution that is not installed has it.
        """
        if point := _points().get(name):
            found: click.Command = point.load()
            return found
        own = super().get_command(ctx, name)
        if own is None and (line := pip_line(f"data {name}")):
            raise UsageError(f"'data {name}' is not installed", code="DATA-173", hint=line)
        return own


@click.group("data", cls=DataCommands, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Check, show and convert datasets before training."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@cache
def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="swift.commands.data")}


for _module in (check, show, schema, convert):
    command.add_command(_module.command)
