"""Manage the environments of engines that can't share this one."""

from __future__ import annotations

import click

from swift_environments.commands import create, doctor, listing, lock, remove, show


@click.group("env", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Create and manage the environments of engines."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _module in (create, listing, show, doctor, lock, remove):
    command.add_command(_module.command)
