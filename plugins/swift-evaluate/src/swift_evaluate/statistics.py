"""Means with their uncertainty: cluster-robust standard errors, and Wilson intervals for fractions.

Sources: E. Miller, "Adding error bars to evals" (2024, arXiv:2411.00640) for clusters and samples; L. Brown, T. Cai and A. DasGupta,
"Interval estimation for a binomial proportion" (2001) for Wilson's interval; E. Korn and B. Graubard (1998) for the effective sample size;
M. Abramowitz and I. Stegun, 26.7.5, for the quantile of Student's t.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean of `n` items. `standard_error` and `interval` are None if they can't be estimated."""

    value: float  # the mean
    n: int
    clusters: int  # number of clusters of the items
    standard_error: float | None = None
    interval: tuple[float, float] | None = None
    method: str = ""  # name of the interval's method; '': there is no interval


def estimate(values: Sequence[float], clusters: Sequence[Hashable], level: float = LEVEL) -> Estimate:
    """Return the mean of one value per item, with a confidence interval.

    Args:
        values: a value per item; several samples of an item are averaged before.
        clusters: for each item, the cluster that it belongs to.
        level: confidence level.
    """
    n, groups = len(values), len(set(clusters))
    mean = math.fsum(values) / n
    if groups < 2:
        return Estimate(value=mean, n=n, clusters=groups)
    error = standard_error(values, clusters)
    if set(values) <= {0, 1}:
        effective = mean * (1 - mean) / error**2 if error and groups < n else groups
        return Estimate(
            value=mean, n=n, clusters=groups, standard_error=error, interval=wilson(mean, min(effective, n), level), method="Wilson"
        )
    half = t_quantile(0.5 + level / 2, groups - 1) * error
    return Estimate(value=mean, n=n, clusters=groups, standard_error=error, interval=(mean - half, mean + half), method="Student t")


def standard_error(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """Return the cluster-robust standard error of the mean; with clusters of one item, that of the central limit theorem."""
    mean = math.fsum(values) / len(values)
    sums: dict[Hashable, float] = defaultdict(float)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value - mean
    groups = len(sums)
    return math.sqrt(groups / (groups - 1) * math.fsum(total * total for total in sums.values())) / len(values)


def wilson(fraction: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Return Wilson's interval for a fraction of `n` trials."""
    z = normal_quantile(0.5 + level / 2)
    centre = (fraction + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(fraction * (1 - fraction) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def normal_quantile(p: float) -> float:
    """Return the quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(p)


def t_quantile(p: float, df: int) -> float:
    """Return the quantile of Student's t distribution."""
    if df == 1:
        return math.tan(math.pi * (p - 0.5))
    if df == 2:
        return (2 * p - 1) / math.sqrt(2 * p * (1 - p))
    z = normal_quantile(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / df**power for power, term in enumerate(terms, 1))
