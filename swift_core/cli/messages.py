"""What the command line says beside its results: errors and notes, on stderr, in colour only where that is a terminal."""

from __future__ import annotations

import click

from swift_core.contract import SwiftError


def print_error(error: SwiftError) -> None:
    """What happened, where, and what to do next."""
    label = "stopped" if error.exit_code == 130 else "error"
    if error.message == label:
        click.secho("stopped", fg="yellow", err=True)
        return
    where = f"{error.where}: " if error.where else ""
    click.secho(f"{label}: ", fg="yellow" if label == "stopped" else "red", bold=True, nl=False, err=True)
    click.echo(f"{where}{error.message}{click.style(error.label, dim=True)}", err=True)
    if error.hint:
        click.echo(f"  {error.hint}", err=True)


def note(text: str) -> None:
    """Something the user should read, but that stops nothing."""
    click.secho(f"note: {text}", dim=True, err=True)
