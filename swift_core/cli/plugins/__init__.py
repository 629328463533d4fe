"""List, show, check and create plugins."""

from __future__ import annotations

import os

import click

from swift_core.cli.plugins import listing, show
from swift_core.contract import UsageError, suggestion
from swift_core.plugins import Point, entry_points, pip_line


class Plugins(click.Group):
    """A group that takes an unknown subcommand as the name of a plugin: `swift plugins vllm` is `swift plugins show vllm`.

    Distributions add subcommands by the entry-point group `swift.commands.plugins`.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands."""
        return [*self.commands, *sorted(_points())]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the subcommand; one of another distribution is imported now."""
        point = _points().get(name)
        return point.load() if point else super().get_command(ctx, name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve the subcommand; an unknown one becomes `show NAME`."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            if line := pip_line(f"plugins {args[0]}"):
                raise UsageError(f"'plugins {args[0]}' is not installed", code="PLUGIN-001", hint=line)
            near = suggestion(args[0], self.list_commands(ctx))
            if near and any(not word.startswith("-") for word in args[1:]):
                raise UsageError(f"there is no command 'plugins {args[0]}'", code="PLUGIN-002", hint=near)
            args = ["show", *args, *(["--json"] if ctx.params["as_json"] else [])]
        return super().resolve_command(ctx, args)


@click.group("plugins", cls=Plugins, invoke_without_command=True, subcommand_metavar="[NAME | COMMAND [ARGS]...]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--trace", is_flag=True, help="Write each plugin import and hook call to stderr, with its duration.")
@click.pass_context
def command(ctx: click.Context, as_json: bool, trace: bool) -> None:
    """List the installed plugins and their problems; with NAME, show one plugin in detail."""
    if trace:
        os.environ["SWIFT_TRACE"] = "1"
    if ctx.invoked_subcommand is None:
        ctx.invoke(listing.command, as_json=as_json)


def _points() -> dict[str, Point]:
    return {point.name: point for point in entry_points("swift.commands.plugins")}


for _module in (listing, show):
    command.add_command(_module.command)
