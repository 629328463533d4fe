"""Paired comparison of two models on the same items: exact McNemar test, clustered bootstrap, and what could have been detected.

Sources: Q. McNemar (1947), exact by the binomial distribution; B. Efron and R. Tibshirani (1993) for the percentile bootstrap; the
minimum detectable effect as in E. Miller (2024, arXiv:2411.00640).
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from swift_evaluate.statistics import LEVEL, normal_quantile, standard_error

POWER = 0.8
DRAWS = 5_000  # of the bootstrap
_WORK = 5_000_000  # maximum number of clusters drawn in all

Verdict = Literal["better", "worse", "within noise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The difference of the means (second − first) of `n` common items.

    `fixed` and `broken` count the items whose score has risen and fallen. `detectable` is the smallest difference that would be detected
    with a probability of 80 %; `needed` the number of items with which this difference would be.
    """

    first: float  # mean of the baseline
    second: float  # mean of the other model
    difference: float  # second − first
    interval: tuple[float, float]  # 95 % confidence interval of the difference
    p: float  # p-value of no difference
    method: str  # name of the test that gave `p`
    n: int
    clusters: int  # number of clusters of the items
    fixed: int
    broken: int
    detectable: float
    needed: int | None
    verdict: Verdict  # of the other model, by the p-value


def paired(
    first: Sequence[float], second: Sequence[float], clusters: Sequence[Hashable], *, lower_is_better: bool = False, seed: int = 0
) -> Paired:
    """Compare the scores of the same items.

    Args:
        first: a score per item of the baseline.
        second: a score per item of the other model, in the same order.
        clusters: for each item, the cluster that it belongs to.
        lower_is_better: whether a lower score is better.
        seed: seed of the bootstrap.
    """
    n, groups = len(first), len(set(clusters))
    differences = [after - before for before, after in zip(first, second, strict=True)]
    mean = math.fsum(differences) / n
    fixed, broken = sum(value > 0 for value in differences), sum(value < 0 for value in differences)
    means = sorted(bootstrap(differences, clusters, seed=seed))
    interval = quantile(means, (1 - LEVEL) / 2), quantile(means, (1 + LEVEL) / 2)
    if groups == n and set(first) | set(second) <= {0, 1}:
        p, method = mcnemar(fixed, broken), "exact McNemar"
    else:
        p, method = bootstrap_p(means), "paired bootstrap" if groups == n else "clustered paired bootstrap"
    error = standard_error(differences, clusters) if groups > 1 else math.inf
    detectable = (normal_quantile(0.5 + LEVEL / 2) + normal_quantile(POWER)) * error
    verdict: Verdict = "within noise" if p >= 1 - LEVEL else "better" if (mean > 0) != lower_is_better else "worse"
    return Paired(
        first=math.fsum(first) / n,
        second=math.fsum(second) / n,
        difference=mean,
        interval=interval,
        p=p,
        method=method,
        n=n,
        clusters=groups,
        fixed=fixed,
        broken=broken,
        detectable=detectable,
        needed=math.ceil(n * (detectable / mean) ** 2) if mean and math.isfinite(detectable) else None,
        verdict=verdict,
    )


def mcnemar(fixed: int, broken: int) -> float:
    """Return the two-sided p of the exact McNemar test, for the numbers of items that only one of the models has answered correctly."""
    n, smaller = fixed + broken, min(fixed, broken)
    term = total = 1
    for k in range(smaller):
        term = term * (n - k) // (k + 1)
        total += term
    return min(1.0, total / (1 << (n - 1))) if n else 1.0


def bootstrap(values: Sequence[float], clusters: Sequence[Hashable], *, seed: int = 0) -> list[float]:
    """Return means of resampled clusters."""
    sums: dict[Hashable, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster][0] += value
        sums[cluster][1] += 1
    groups, draw = list(sums.values()), random.Random(seed)
    means = []
    for _ in range(max(500, min(DRAWS, _WORK // len(groups)))):
        chosen = draw.choices(groups, k=len(groups))
        means.append(sum(total for total, _ in chosen) / sum(count for _, count in chosen))
    return means


def bootstrap_p(means: Sequence[float]) -> float:
    """Return the two-sided p of a difference of 0, given resampled means."""
    below, above = sum(mean <= 0 for mean in means), sum(mean >= 0 for mean in means)
    return min(1.0, 2 * (min(below, above) + 1) / (len(means) + 1))


def quantile(ordered: Sequence[float], p: float) -> float:
    """Return a quantile of sorted values, interpolated linearly."""
    place = p * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
