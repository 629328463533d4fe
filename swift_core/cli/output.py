"""Text output: errors and notes on stderr, tables on stdout."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import click

from swift_core.contract import SwiftError


def print_error(error: SwiftError) -> None:
    """Print an error: where it happened, the message, its code, and the hint."""
    label = "stopped" if error.exit_code == 130 else "error"
    if error.message == label:
        click.secho("stopped", fg="yellow", err=True)
    else:
        where = f"{error.where}: " if error.where else ""
        click.secho(f"{label}: ", fg="yellow" if label == "stopped" else "red", bold=True, nl=False, err=True)
        click.echo(f"{where}{error.message}{click.style(error.label, dim=True)}", err=True)
    if error.hint:
        click.echo(f"  {error.hint}", err=True)


def note(text: str) -> None:
    """Print a note, which does not end the command."""
    click.secho(f"note: {text}", dim=True, err=True)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a header."""
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header) - 1)]
    room = max(20, shutil.get_terminal_size((200, 24)).columns - sum(widths) - 2 * len(widths))
    for number, row in enumerate([header, *rows]):
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        last = row[-1] if len(row[-1]) <= room else row[-1][: room - 1] + "…"
        click.secho("  ".join([*cells, last]).rstrip(), bold=number == 0)
