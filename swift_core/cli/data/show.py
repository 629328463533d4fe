"""`swift data show`: one row as the model sees it, with what it is graded on in colour."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from swift_core.cli.data.command import DataCommand
from swift_core.cli.safe import printable
from swift_core.cli.screen import Screen
from swift_core.config import Settings
from swift_core.verbs import DATA_SHOW, Verb

if TYPE_CHECKING:
    from swift_core.data.inspector import Piece, Rendered
    from swift_core.data.show import Shown

HELP = """Show a row as the model sees it, with the tokens that it is graded on in colour; without --model, the row in the spelling of
its kind.

It is exactly what training uses: the same template, mask and truncation. Where there is no colour, graded text stands in ⟦ ⟧."""


def show(verb: Verb, settings: Settings, screen: Screen) -> int:
    """Find the row and print it."""
    from swift_core.data import show as data_show
    from swift_core.data.task import resolve_rows

    rows = resolve_rows(verb, settings, progress=screen.download)
    for text in rows.notes:
        screen.note(text)
    shown = data_show.show(rows.run, rows.kinds)
    screen.close()
    if screen.quiet:
        click.echo(json.dumps(shown.to_json(), ensure_ascii=False))
    elif shown.sequences is None:
        click.echo(json.dumps(shown.row, indent=2, ensure_ascii=False))
    else:
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for line in _lines(shown, coloured=coloured, tokens=rows.run.options["tokens"]):
            click.echo(line, color=coloured)
    return 0


def _lines(shown: Shown, *, coloured: bool, tokens: bool) -> Iterator[str]:
    sequences = shown.sequences or ()
    if not sequences:
        yield f"{shown.file}, row {shown.number} is longer than {shown.max_length} tokens and left out (truncation: {shown.truncation})"
    for number, sequence in enumerate(sequences, 1):
        yield click.style(f"{shown.file}, row {shown.number}{_heading(sequence, number, len(sequences), shown)}", bold=True)
        yield "".join(_text(piece, coloured=coloured, tokens=tokens) for piece in sequence.pieces)
        yield ""
    yield _legend(sequences, coloured=coloured)


def _heading(sequence: Rendered, number: int, count: int, shown: Shown) -> str:
    length = sum(len(piece.ids) for piece in sequence.pieces)
    learned = sum(len(piece.ids) for piece in sequence.pieces if piece.weight)
    of = f", sequence {number} of {count}" if count > 1 else ""
    cut = f", {'split' if shown.truncation == 'split' else 'cut'} from {sequence.whole:,}" if sequence.whole > length else ""
    return f"{of}: {length:,} tokens{cut}, {learned:,} graded"


def _text(piece: Piece, *, coloured: bool, tokens: bool) -> str:
    text = printable("│".join(piece.texts) if tokens else piece.text)
    if tokens:
        text += "│"
    weight = f"{piece.weight:g}×" if piece.weight not in (0, 1) else ""
    if not coloured:
        return f"⟦{weight}{text}⟧" if piece.weight else text
    if not piece.weight:
        return click.style(text, dim=True)
    return click.style(weight + text.replace("\n", "↵\n"), fg="yellow" if weight else "green")


def _legend(sequences: Sequence[Rendered], *, coloured: bool) -> str:
    graded = click.style("graded", fg="green") if coloured else "⟦graded⟧"
    other = click.style("0.5×graded", fg="yellow") if coloured else "⟦0.5×graded⟧"
    weighted = any(piece.weight not in (0, 1) for sequence in sequences for piece in sequence.pieces)
    return f"{graded}{f', {other} with another weight' if weighted else ''}; the rest is only seen"


command = DataCommand(DATA_SHOW, show, HELP)
