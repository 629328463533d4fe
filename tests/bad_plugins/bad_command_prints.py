"""Prints when it is imported."""

from __future__ import annotations

import click

print("Welcome!")


@click.command()
def command():
    """Count."""
