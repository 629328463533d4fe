"""Axes of a chart: grid, ticks, and the place of a point in the SVG."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from swift_report.series import Points, span, tick_label, ticks

WIDTH, HEIGHT = 400, 230  # units of the SVG: about pixels on a phone, and in a column of a wide page
TOP, RIGHT, BOTTOM = 26, 14, 38
_LETTER = 6.8  # width of a digit of a tick


def text(x: float, y: float, content: str, *, anchor: str = "start", style: str = "") -> Markup:
    """Return a text of an SVG."""
    kind = Markup(' class="{}"').format(style) if style else ""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}"{}>{}</text>').format(x, y, anchor, kind, content)


@dataclass(frozen=True, slots=True)
class Axes:
    """Axes with their ticks, from the lowest tick to the highest one."""

    x: tuple[float, float]
    y_ticks: tuple[float, ...]
    left: float
    x_label: str
    y_label: str

    @classmethod
    def around(cls, points: Points, *, x_label: str, y_label: str) -> Axes:
        """Return axes that hold all points."""
        y_ticks = ticks(*span([y for _, y in points]))
        left = 12 + _LETTER * max(len(tick_label(tick)) for tick in y_ticks)
        return cls(span([x for x, _ in points]), tuple(y_ticks), left, x_label, y_label)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return the coordinates of a point in the SVG."""
        (x_low, x_high), y_low, y_high = self.x, self.y_ticks[0], self.y_ticks[-1]
        across = self.left + (x - x_low) / (x_high - x_low) * (WIDTH - self.left - RIGHT)
        return across, HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - BOTTOM - TOP)

    def svg(self, alternative: str, drawn: Iterable[Markup]) -> Markup:
        """Return the SVG with grid, ticks, labels and what is drawn; `alternative` is read out in its place."""
        parts = [text(4, 12, self.y_label, style="unit")] if self.y_label else []
        for tick in self.y_ticks:
            _, y = self.place(self.x[0], tick)
            parts.append(Markup('<line class="grid" x1="{:.1f}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(self.left, WIDTH - RIGHT, y, y))
            parts.append(text(self.left - 6, y + 4, tick_label(tick), anchor="end"))
        for tick in ticks(*self.x):
            if self.x[0] <= tick <= self.x[1]:
                x, y = self.place(tick, self.y_ticks[0])
                parts.append(Markup('<line class="axis" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(x, x, y, y + 4))
                parts.append(text(x, y + 17, tick_label(tick), anchor="middle"))
        parts.append(text(WIDTH - RIGHT, HEIGHT - 4, self.x_label, anchor="end", style="unit"))
        return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            WIDTH, HEIGHT, alternative, Markup("").join([*parts, *drawn])
        )
