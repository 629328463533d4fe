"""Imports NumPy before it is called."""

from __future__ import annotations

import click
import numpy


@click.command()
def command():
    """Count."""
    click.echo(numpy.arange(3))
