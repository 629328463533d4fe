"""`swift data show`: print one row as the model sees it, with its supervised tokens in colour."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from swift_core.cli import Screen
from swift_core.contract import Settings, VerbSpec
from swift_data.commands.command import DataCommand
from swift_data.commands.printable import printable
from swift_data.verbs import SHOW

if TYPE_CHECKING:
    from swift_data.inspector import Piece, Rendered
    from swift_data.show import Shown

HELP = """Show a row as the model sees it, with the supervised tokens in colour; without --model, the row in the canonical format of its
kind.

Template, loss mask and truncation are those of training. Without colour, supervised text is enclosed in ⟦ ⟧."""


def show(verb: VerbSpec, settings: Settings, screen: Screen) -> int:
    """Find the row and print it."""
    from swift_data import show as data_show
    from swift_data.task import resolve_rows

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
        yield f"{shown.file}, row {shown.number} is longer than {shown.max_length} tokens and dropped (truncation: {shown.truncation})"
    for number, sequence in enumerate(sequences, 1):
        yield click.style(f"{shown.file}, row {shown.number}{_heading(sequence, number, len(sequences), shown)}", bold=True)
        yield "".join(_text(piece, coloured=coloured, tokens=tokens) for piece in sequence.pieces)
        yield ""
    yield _legend(sequences, coloured=coloured)


def _heading(sequence: Rendered, number: int, count: int, shown: Shown) -> str:
    length = sum(len(piece.ids) for piece in sequence.pieces)
    supervised = sum(len(piece.ids) for piece in sequence.pieces if piece.weight)
    of = f", sequence {number} of {count}" if count > 1 else ""
    cut = f", {'split' if shown.truncation == 'split' else 'truncated'} from {sequence.whole:,}" if sequence.whole > length else ""
    return f"{of}: {length:,} tokens{cut}, {supervised:,} supervised"


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
    supervised = click.style("supervised", fg="green") if coloured else "⟦supervised⟧"
    other = click.style("0.5×supervised", fg="yellow") if coloured else "⟦0.5×supervised⟧"
    weighted = any(piece.weight not in (0, 1) for sequence in sequences for piece in sequence.pieces)
    return f"{supervised}{f', {other} with another loss weight' if weighted else ''}; the rest is context"


command = DataCommand(SHOW, show, HELP)
