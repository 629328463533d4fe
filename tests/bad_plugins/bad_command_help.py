"""Says nothing of itself."""

from __future__ import annotations

import click


@click.command()
def command():
    click.echo("Hello")
