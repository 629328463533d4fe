"""A table for people: columns as wide as they need, the last one cut to the terminal."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import click


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a header."""
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header) - 1)]
    room = max(20, shutil.get_terminal_size((200, 24)).columns - sum(widths) - 2 * len(widths))
    for number, row in enumerate([header, *rows]):
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        last = row[-1] if len(row[-1]) <= room else row[-1][: room - 1] + "…"
        click.secho("  ".join([*cells, last]).rstrip(), bold=number == 0)
