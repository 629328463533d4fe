"""Charts as SVG text, without scripts and embedded fonts, for light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 260, 56, 34, 12, 16
COLOURS = ("#2563eb", "#d97706", "#059669")
Points = Sequence[tuple[float, float]]
Place = Callable[[float, float], tuple[float, float]]


def line_chart(series: Mapping[str, Points], *, x_label: str) -> str:
    """Return a line chart of named series of (x, y) points, without points that are not finite; short series have markers.

    Returns an empty string if there is nothing to draw.
    """
    clean = {name: [point for point in points if all(map(math.isfinite, point))] for name, points in series.items()}
    clean = {name: points for name, points in clean.items() if points}
    every = [point for points in clean.values() for point in points]
    if not every:
        return ""
    parts, place = _axes(every, title=f"{', '.join(clean)} by {x_label}", x_label=x_label)
    for colour, (name, points) in zip(COLOURS, clean.items(), strict=False):
        placed = [place(*point) for point in points]
        if len(placed) > 1:
            parts.append(
                f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in placed)}"/>'
            )
        if len(placed) <= 60:
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{escape(name)} {value:.4g}</title></circle>'
                for (x, y), (_, value) in zip(placed, points, strict=True)
            ]
    legend = "".join(
        f'<span><i style="background:{colour}"></i>{escape(name)}</span>' for colour, name in zip(COLOURS, clean, strict=False)
    )
    return f'{"".join(parts)}</svg><p class="legend">{legend}</p>'


def scatter(points: Mapping[str, tuple[float, float]], *, x_label: str, y_label: str) -> str:
    """Return a scatter chart of named points, or an empty string if none is finite."""
    clean = {name: point for name, point in points.items() if all(map(math.isfinite, point))}
    if not clean:
        return ""
    low = [(0.0, 0.0)]  # include the origin, so that distances from it can be compared by eye
    parts, place = _axes([*clean.values(), *low], title=f"{y_label} by {x_label}", x_label=x_label)
    parts.append(f'<text x="{LEFT + 8}" y="{TOP + 4}">{escape(y_label)}</text>')
    taken: list[tuple[float, float]] = []
    for name, (x, y) in sorted(clean.items(), key=lambda item: item[1][1]):
        across, down = place(x, y)
        left = across > WIDTH * 0.8  # a label that would exceed the chart is placed before its point
        beside = down + 4
        while any(abs(across - other) < 110 and abs(beside - height) < 12 for other, height in taken):
            beside -= 12  # above the labels of its neighbours
        taken.append((across, beside))
        title = f"<title>{escape(name)}: {x:.4g}, {y:.4g}</title>"
        parts.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="4" fill="{COLOURS[0]}">{title}</circle>')
        start, anchor = (across - 8, "end") if left else (across + 8, "start")
        parts.append(f'<text x="{start:.1f}" y="{beside:.1f}" text-anchor="{anchor}">{escape(name)}</text>')
    return f"{''.join(parts)}</svg>"


def standalone(svg: str) -> str:
    """Return a chart as the content of an SVG file, on a white background."""
    style = "<style>text{font:11px sans-serif;fill:#4b5563}.grid{stroke:#e5e7eb}</style>"
    head, _, rest = svg.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg">{style}<rect width="100%" height="100%" fill="#fff"/>{rest}\n'


def _axes(every: Points, *, title: str, x_label: str) -> tuple[list[str], Place]:
    """Return the beginning of an SVG with grid and axes for all points, and a function that maps points to its coordinates."""
    (x_low, x_high), (y_low, y_high) = (_span([point[axis] for point in every]) for axis in (0, 1))
    y_ticks = _ticks(y_low, y_high)
    y_low, y_high = min(y_low, y_ticks[0]), max(y_high, y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - BOTTOM - TOP)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    for tick in y_ticks:
        _, y = place(x_low, tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in _ticks(x_low, x_high):
        if x_low <= tick <= x_high:
            x, _ = place(tick, y_low)
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{escape(x_label)}</text>')
    return parts, place


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers that cover low..high, in steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.floor(low / step)
    return [round(step * index, 10) for index in range(first, math.ceil(high / step) + 1)]
