"""Pieces of HTML that sections are made of. Every text in them is escaped; only `Markup` is inserted as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from swift_core.system import format_value

_HASH = 12  # digits of a hash that are shown


def joined(pieces: Iterable[Any]) -> Markup:
    """Return pieces one after another, without those that are None."""
    return Markup("").join(piece for piece in pieces if piece is not None)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markup:
    """Return a table; one that is too wide for the screen is scrolled sideways. The first cell of a row is its heading."""
    return _table(head, map(row, rows))


def row(cells: Sequence[Any]) -> Markup:
    """Return a row of a table; the first cell is its heading."""
    return Markup("<tr><th scope=row>{}</th>{}</tr>").format(cells[0], joined(Markup("<td>{}</td>").format(cell) for cell in cells[1:]))


def _table(head: Sequence[str], rows: Iterable[Markup], *, style: str = "") -> Markup:
    names = joined(Markup("<th scope=col>{}</th>").format(name) for name in head)
    top = Markup("<thead><tr>{}</tr></thead>").format(names) if any(head) else ""
    return Markup('<div class="scroll"><table class="{}">{}<tbody>{}</tbody></table></div>').format(style, top, joined(rows))


def columns(by_run: Mapping[str, Mapping[str, Any]], *, mark: bool = False) -> Markup:
    """Return a table of values by name, with a column per run.

    Args:
        by_run: values by name, by run.
        mark: mark the lines in which runs differ, and show a value that all runs have once.
    """
    rows = []
    for name in dict.fromkeys(name for values in by_run.values() for name in values):
        cells = [_cell(values[name]) if name in values else "–" for values in by_run.values()]
        given = {cell for cell in cells if cell != "–"}
        if mark and len(by_run) > 1 and len(set(cells)) == 1:
            rows.append(Markup("<tr><th scope=row>{}</th><td colspan={}>{}</td></tr>").format(name, len(cells), cells[0]))
        else:
            rows.append(row([Markup("{} <abbr title=differs>≠</abbr>").format(name) if mark and len(given) > 1 else name, *cells]))
    return _table(["", *by_run] if len(by_run) > 1 else [], rows, style="values") if rows else Markup("")


def tiles(values: Mapping[str, Any]) -> Markup:
    """Return numbers with their names, large."""
    return Markup("<dl class=tiles>{}</dl>").format(
        joined(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, _cell(value)) for name, value in values.items())
    )


def short_hash(value: str) -> Markup:
    """Return the first digits of a hash; all of it is its title."""
    return Markup('<code title="{}">{}</code>').format(value, value[:_HASH])


def formatted(value: Any) -> str:
    """Format a value for display: as `format_value`, with spaces between the thousands of whole numbers."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}") if whole else format_value(value)


def _cell(value: Any) -> Any:
    return value if isinstance(value, Markup) else formatted(value)
