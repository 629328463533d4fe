"""Charts as SVG without scripts: lines, scatter, intervals. Each has axes, a text alternative, and its numbers as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from markupsafe import Markup

from swift_core.system import format_value
from swift_report.axes import BOTTOM, RIGHT, TOP, WIDTH, Axes, text
from swift_report.parts import table
from swift_report.series import Points, finite, rows_of, thinned, ticks

SERIES = 6  # styles of series in report.css; more repeat them
_LABEL = 52  # characters of a label that fit; the table has all of it
_MARKED = 40  # points up to which each has a marker
_STANDALONE = (
    "text{font:12px sans-serif;fill:#4b5563}.grid{stroke:#e5e7eb}.axis{stroke:#9ca3af}.s0{stroke:#2563eb;fill:#2563eb}"
    "polyline{fill:none!important;stroke-width:2}.unit{font-style:italic}"
)


class Interval(NamedTuple):
    """A value with the ends of its confidence interval; both equal the value if the interval is not known."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart; inserted into Markup, it is a figure with title, legend and table."""

    title: str  # caption of the figure
    svg: Markup  # the drawing
    legend: tuple[str, ...] = ()  # names of the series, in the order of their colours
    data: Markup = field(default_factory=Markup)  # the numbers as a table

    def __html__(self) -> str:
        """Return the figure."""
        names = Markup("").join(
            Markup('<li><svg viewBox="0 0 24 8"><line class="s{}" x1="0" x2="24" y1="4" y2="4"/></svg>{}</li>').format(
                number % SERIES, name
            )
            for number, name in enumerate(self.legend)
        )
        legend = Markup("<ul class=legend>{}</ul>").format(names) if len(self.legend) > 1 else ""
        data = Markup("<details><summary>Numbers</summary>{}</details>").format(self.data) if self.data else ""
        return Markup("<figure><figcaption>{}</figcaption>{}{}{}</figure>").format(self.title, self.svg, legend, data)

    def standalone(self) -> str:
        """Return the content of an SVG file, on a white background."""
        head, _, rest = str(self.svg).partition(">")
        return (
            f'{head} xmlns="http://www.w3.org/2000/svg"><style>{_STANDALONE}</style><rect width="100%" height="100%" fill="#fff"/>{rest}\n'
        )


def line_chart(series: Mapping[str, Points], *, title: str, x_label: str, y_label: str = "") -> Chart | None:
    """Return a line chart of named series of (x, y) points; None without a finite point. Long series are thinned."""
    clean = finite(series)
    if not clean:
        return None
    axes = Axes.around([point for points in clean.values() for point in points], x_label=x_label, y_label=y_label)
    drawn = []
    for number, points in enumerate(clean.values()):
        style = f"s{number % SERIES}"
        placed = [axes.place(*point) for point in thinned(points)]
        if len(placed) > 1:
            drawn.append(Markup('<polyline class="{}" points="{}"/>').format(style, " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)))
        if len(placed) <= _MARKED:
            drawn += [Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(style, x, y) for x, y in placed]
    said = "; ".join(
        f"{name} from {points[0][1]:.4g} at {points[0][0]:g} to {points[-1][1]:.4g} at {points[-1][0]:g}"
        f" (lowest {min(y for _, y in points):.4g}, highest {max(y for _, y in points):.4g})"
        for name, points in clean.items()
    )
    cells = [[format_value(value) if value is not None else "" for value in row] for row in rows_of(clean)]
    alternative = f"{title}{f' in {y_label}' if y_label else ''} by {x_label}: {said}"
    return Chart(title, axes.svg(alternative, drawn), tuple(clean), table([x_label, *clean], cells))


def scatter(points: Mapping[str, tuple[float, float]], *, title: str, x_label: str, y_label: str) -> Chart | None:
    """Return a scatter chart of named points with the origin, so that distances can be compared by eye; None without a finite point."""
    clean = {name: points[0] for name, points in finite({name: [point] for name, point in points.items()}).items()}
    if not clean:
        return None
    axes = Axes.around([*clean.values(), (0.0, 0.0)], x_label=x_label, y_label=y_label)
    drawn, taken = [], list[tuple[float, float]]()
    for name, (x, y) in sorted(clean.items(), key=lambda item: item[1][1]):
        across, down = axes.place(x, y)
        beside = down + 4
        while any(abs(across - other) < 110 and abs(beside - height) < 13 for other, height in taken):
            beside -= 13  # above the labels of its neighbours
        taken.append((across, beside))
        left = across > WIDTH * 0.7  # a label that would exceed the chart is placed before its point
        drawn.append(Markup('<circle class="s0" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(across, down))
        drawn.append(text(across - 8 if left else across + 8, beside, name, anchor="end" if left else "start"))
    said = "; ".join(f"{name}: {x:.4g}, {y:.4g}" for name, (x, y) in clean.items())
    data = table(["", x_label, y_label], [[name, format_value(x), format_value(y)] for name, (x, y) in clean.items()])
    return Chart(title, axes.svg(f"{title}: {y_label} by {x_label}: {said}", drawn), data=data)


def interval_chart(rows: Mapping[str, Mapping[str, Interval]], *, title: str, x_label: str, series: Sequence[str] = ()) -> Chart | None:
    """Return values with their intervals, one group per row and one line per series in it; None without a finite value.

    Args:
        rows: the values of each series, by row.
        title: caption of the figure.
        x_label: what the values are.
        series: the series in the order of their colours, for charts that share them; default: those of the rows.
    """
    clean = {label: {name: one for name, one in group.items() if finite({"": [(one.value, 0.0)]})} for label, group in rows.items()}
    clean = {label: group for label, group in clean.items() if group}
    if not clean:
        return None
    series = list(series) or list(dict.fromkeys(name for group in clean.values() for name in group))
    values = [edge for group in clean.values() for one in group.values() for edge in one] + [0.0]
    marks = ticks(min(values), max(values) if max(values) > 0 else 1.0)
    low, high = marks[0], marks[-1]
    height = sum(24 + 18 * len(group) for group in clean.values()) + TOP + BOTTOM
    left, room = 12, 60  # the numbers are to the right

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - left - room - RIGHT)

    drawn = []
    for mark in marks:
        drawn.append(Markup('<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(place(mark), TOP, height - BOTTOM))
        drawn.append(text(place(mark), height - BOTTOM + 16, f"{mark:g}", anchor="middle"))
    drawn.append(text(WIDTH - RIGHT, height - 4, x_label, anchor="end", style="unit"))
    y = TOP
    for label, group in clean.items():
        drawn.append(text(left, y + 14, label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…", style="name"))
        y += 24
        for name, one in group.items():
            style = f"s{series.index(name) % SERIES}"
            drawn.append(_whisker(style, place(one.low), place(one.value), place(one.high), y + 6))
            drawn.append(text(WIDTH - RIGHT, y + 10, f"{one.value:.4g}", anchor="end"))
            y += 18
    data = table(["", *(["run"] if len(series) > 1 else []), x_label, "from", "to"], list(_cells(clean, many=len(series) > 1)))
    said = "; ".join(f"{label}, {name}: {one.value:.4g}" for label, group in clean.items() for name, one in group.items())
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, f"{title}: {said}", Markup("").join(drawn)
    )
    return Chart(title, svg, tuple(series), data)


def _whisker(style: str, low: float, value: float, high: float, y: float) -> Markup:
    caps = Markup("").join(
        Markup('<line class="{0}" x1="{1:.1f}" x2="{1:.1f}" y1="{2}" y2="{3}"/>').format(style, x, y - 4, y + 4) for x in {low, high}
    )
    bar = Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>').format(style, low, high, y, y) + caps if high > low else ""
    return Markup('{}<circle class="{}" cx="{:.1f}" cy="{}" r="4"/>').format(bar, style, value, y)


def _cells(rows: Mapping[str, Mapping[str, Interval]], *, many: bool) -> Sequence[Sequence[str]]:
    return [
        [label, *([name] if many else []), *(format_value(edge) for edge in one)]
        for label, group in rows.items()
        for name, one in group.items()
    ]
