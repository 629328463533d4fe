"""A line chart as an SVG text: no scripts, no fonts of its own, readable in light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 260, 56, 34, 12, 16
COLOURS = ("#2563eb", "#d97706", "#059669")
Points = Sequence[tuple[float, float]]


def line_chart(series: Mapping[str, Points], *, x_label: str) -> str:
    """A chart of named series of (x, y) points; points that are not finite are left out, and few points get dots.

    Returns an empty string where there is nothing to draw.
    """
    clean = {name: [point for point in points if all(map(math.isfinite, point))] for name, points in series.items()}
    clean = {name: points for name, points in clean.items() if points}
    every = [point for points in clean.values() for point in points]
    if not every:
        return ""
    (x_low, x_high), (y_low, y_high) = (_span([point[axis] for point in every]) for axis in (0, 1))
    y_ticks = _ticks(y_low, y_high)
    y_low, y_high = min(y_low, y_ticks[0]), max(y_high, y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - BOTTOM - TOP)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(", ".join(clean))} by {escape(x_label)}">']
    for tick in y_ticks:
        _, y = place(x_low, tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in _ticks(x_low, x_high):
        if x_low <= tick <= x_high:
            x, _ = place(tick, y_low)
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{escape(x_label)}</text>')
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


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that cover low..high: steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.floor(low / step)
    return [round(step * index, 10) for index in range(first, math.ceil(high / step) + 1)]
