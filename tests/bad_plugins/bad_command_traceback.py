"""Ends in a traceback where a file is missing."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("file")
def command(file):
    """Show a file."""
    click.echo(Path(file).read_text())
