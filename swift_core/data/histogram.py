"""How numbers are spread: smallest, middle, largest, and a histogram whose bins have round borders."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate

_TAIL = 0.99  # what lies beyond shares the last bin, so that one long row does not squeeze all others into the first


@dataclass(frozen=True, slots=True)
class Bin:
    """How many numbers are at least `low` and below `high`; the last bin has no `high`."""

    low: int
    high: int | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What is told of many numbers."""

    count: int
    total: int
    min: int
    median: int
    p95: int
    max: int
    bins: tuple[Bin, ...]


class Distribution:
    """Counts whole numbers; memory grows with how many different ones there are."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, number: int) -> None:
        """Count a number."""
        self._counts[number] += 1

    def spread(self, bins: int = 10) -> Spread | None:
        """The numbers so far, in about so many bins; None where there are none."""
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
        """The smallest number that so large a part of all is not above."""
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
    """The smallest of 1, 2, 5, 10, 20, … that is not below."""
    power: int = 10 ** max(0, math.floor(math.log10(least)))
    return next(step for factor in (1, 2, 5, 10) if (step := factor * power) >= least)
