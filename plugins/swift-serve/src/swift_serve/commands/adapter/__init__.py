"""List, add and remove the adapters of a running server."""

from __future__ import annotations

import click

from swift_serve.commands.adapter import add, drop, listing


@click.group("adapter", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, add and drop the adapters of a running server, given by its run folder."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _module in (listing, add, drop):
    command.add_command(_module.command)
