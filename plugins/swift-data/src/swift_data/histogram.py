"""Distribution of integers: minimum, median, 95th percentile, maximum, and a histogram with round bin edges."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate

_TAIL = 0.99  # quantile at which the last bin starts, so that one long row does not squeeze all others into the first bin


@dataclass(frozen=True, slots=True)
class Bin:
    """The count of numbers in [`low`, `high`); the last bin has no `high`."""

    low: int
    high: int | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Summary statistics of a distribution."""

    count: int
    total: int
    min: int
    median: int
    p95: int
    max: int
    bins: tuple[Bin, ...]


class Distribution:
    """Count integers; memory use grows with the number of distinct values."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, number: int) -> None:
        """Count a number."""
        self._counts[number] += 1

    def spread(self, bins: int = 10) -> Spread | None:
        """Return the summary of the numbers so far, in about `bins` bins, or None if there are none."""
        if not self._counts:
            return None
        numbers = sorted(self._counts.items())
        return Spread(
            count=self._counts.total(),
            total=sum(number * count for number, count in numbers),
            min=numbers[0][0],
            median=self._quantile(numbers, 0.5),
            p95=self._quantile(numbers, 0.95),
            max=numbers[-1][0],
            bins=tuple(self._bins(numbers, bins)),
        )

    def _quantile(self, numbers: list[tuple[int, int]], part: float) -> int:
        """Return the quantile: the smallest value v with at least `part` of all values <= v."""
        rank = math.ceil(part * self._counts.total())
        reached = accumulate(count for _, count in numbers)
        return next(number for (number, _), upto in zip(numbers, reached, strict=True) if upto >= rank)

    def _bins(self, numbers: list[tuple[int, int]], most: int) -> list[Bin]:
        low, high = numbers[0][0], self._quantile(numbers, _TAIL)
        width = _round_step((high - low + 1) / most)
        first = low // width
        last = high // width
        counts = Counter[int]()
        for number, count in numbers:
            counts[min(number // width, last)] += count
        return [Bin(at * width, None if at == last else (at + 1) * width, counts[at]) for at in range(first, last + 1)]


def _round_step(least: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, … that is >= `least`."""
    power: int = 10 ** max(0, math.floor(math.log10(least)))
    return next(step for factor in (1, 2, 5, 10) if (step := factor * power) >= least)
