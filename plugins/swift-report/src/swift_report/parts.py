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


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, style: str = "") -> Markup:
    """Return a table; a row that is too long for a narrow screen is scrolled sideways. The first cell of a row is its heading."""
    names = joined(Markup("<th scope=col>{}</th>").format(name) for name in head)
    lines = joined(
        Markup("<tr><th scope=row>{}</th>{}</tr>").format(first, joined(Markup("<td>{}</td>").format(cell) for cell in rest))
        for first, *rest in rows
    )
    top = Markup("<thead><tr>{}</tr></thead>").format(names) if any(head) else ""
    return Markup('<div class="scroll"><table class="{}">{}<tbody>{}</tbody></table></div>').format(style, top, lines)


def columns(by_run: Mapping[str, Mapping[str, Any]], *, mark: bool = False) -> Markup:
    """Return a table of values by name, with a column per run; with `mark`, lines are marked in which runs differ."""
    names = list(dict.fromkeys(name for values in by_run.values() for name in values))
    rows = []
    for name in names:
        cells = [_cell(values[name]) if name in values else "–" for values in by_run.values()]
        differs = mark and len({cell for cell in cells if cell != "–"}) > 1
        rows.append([Markup("{} <abbr title=differs>≠</abbr>").format(name) if differs else name, *cells])
    return table(["", *by_run] if len(by_run) > 1 else [], rows, style="values") if rows else Markup("")


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
