"""Has the name of one of ours."""

from __future__ import annotations

import click


@click.command()
def command():
    """Chat."""
