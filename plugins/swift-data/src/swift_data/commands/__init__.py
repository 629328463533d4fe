"""Check, show and convert datasets."""

from __future__ import annotations

import click

from swift_data.commands import check, convert, schema, show


@click.group("data", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Check, show and convert datasets before training."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _module in (check, show, schema, convert):
    command.add_command(_module.command)
