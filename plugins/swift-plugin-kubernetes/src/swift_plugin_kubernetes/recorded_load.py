"""A recorded load: requests per second over time, from a CSV file or from an answer of Prometheus."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError

WHERE = "launcher.load"
_HINT = (
    "Write CSV with the columns seconds and rate (requests per second), or keep the JSON answer of Prometheus' /api/v1/query_range for "
    "the rate of requests."
)
_MAXIMUM = 7 * 24 * 3600  # seconds of a load: more is no more telling, and takes its time


def read_load(path: Path) -> list[float]:
    """Return the requests per second in each second of the record; between two points the rate is that of the earlier one.

    Raises:
        UsageError: the file is absent, in another format, or not in the order of time.
    """
    try:
        text = path.read_text(encoding="utf-8")
        points = list(_prometheus(text) if text.lstrip().startswith("{") else _table(text))
    except OSError as error:
        raise UsageError(f"can't read the recorded load: {error.strerror}", code="NODE-035", where=str(path), hint=_HINT) from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"no recorded load: {error}", code="NODE-036", where=str(path), hint=_HINT) from None
    if len(points) < 2 or any(after <= before for (before, _), (after, _) in pairwise(points)) or any(rate < 0 for _, rate in points):
        raise UsageError(
            "needs two points or more, in chronological order, without negative rates", code="NODE-037", where=str(path), hint=_HINT
        )
    if points[-1][0] - points[0][0] > _MAXIMUM:
        raise UsageError("longer than a week", code="NODE-038", where=str(path), hint="Keep the busiest day.")
    rates: list[float] = []
    for (_, rate), (end, _) in pairwise(points):
        rates += [rate] * (round(end - points[0][0]) - len(rates))
    return rates


def _table(text: str) -> Iterator[tuple[float, float]]:
    for row in csv.DictReader(text.splitlines()):
        yield float(row["seconds"]), float(row["rate"])


def _prometheus(text: str) -> Iterator[tuple[float, float]]:
    """Yield the sum of the series of a range query, at each of its times."""
    series: list[dict[str, Any]] = json.loads(text)["data"]["result"]
    found: dict[float, float] = {}
    for each in series:
        for seconds, value in each["values"]:
            found[float(seconds)] = found.get(float(seconds), 0.0) + float(value)
    yield from sorted(found.items())
