"""Series of points for charts: without values that are not finite, thinned, and with round ticks for the axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Points = Sequence[tuple[float, float]]
_BUCKETS = 200  # of a thinned series; each keeps its lowest and highest point
_TABLE_ROWS = 20


def finite(series: Mapping[str, Points]) -> dict[str, Points]:
    """Return the series without points that are not finite, and without series that are empty then."""
    clean = {name: [point for point in points if all(map(math.isfinite, point))] for name, points in series.items()}
    return {name: points for name, points in clean.items() if points}


def thinned(points: Points) -> Points:
    """Return at most 400 points that look the same: the lowest and the highest of each of 200 stretches, and both ends."""
    if len(points) <= 2 * _BUCKETS:
        return points
    kept = {0, len(points) - 1}
    for bucket in range(_BUCKETS):
        indices = range(len(points) * bucket // _BUCKETS, len(points) * (bucket + 1) // _BUCKETS)
        kept |= {min(indices, key=lambda index: points[index][1]), max(indices, key=lambda index: points[index][1])}
    return [points[index] for index in sorted(kept)]


def rows_of(series: Mapping[str, Points]) -> list[list[float | None]]:
    """Return rows for a table of at most 20 places: x, and the value of each series there (None if it has none)."""
    values = [dict(points) for points in series.values()]
    places = sorted({x for points in values for x in points})
    if len(places) > _TABLE_ROWS:
        step = (len(places) - 1) / (_TABLE_ROWS - 1)
        chosen = {places[round(index * step)] for index in range(_TABLE_ROWS)}
        chosen |= {x for points in values if len(points) <= _TABLE_ROWS // 2 for x in points}  # evaluations, which are few
        places = sorted(chosen)
    return [[x, *(points.get(x) for points in values)] for x in places]


def span(values: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest value, apart by a visible amount."""
    low, high = min(values), max(values)
    margin = max(abs(low), abs(high)) * 1e-6
    if high - low > margin:
        return low, high
    half = abs(low) / 2 or 0.5
    return low - half, high + half


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return round numbers that cover low..high, in steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    digits = max(0, 1 - math.floor(math.log10(step)))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * index, digits) for index in range(first, last + 1)]


def tick_label(value: float) -> str:
    """Format a tick: 12k for thousands, 1e-05 for very small numbers."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if letter == 'k' else limit):g}{letter}"
    return f"{value:g}"
