"""Statistics against published values and against formulas written out."""

from __future__ import annotations

import random

import pytest
from swift_evaluate.paired_statistics import bootstrap, mcnemar, paired
from swift_evaluate.statistics import estimate, standard_error, t_quantile, wilson


def test_wilsons_interval():
    assert wilson(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


@pytest.mark.parametrize(
    ("df", "expected"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (30, 2.04227), (1000, 1.96234)]
)
def test_quantiles_of_students_t(df, expected):
    assert t_quantile(0.975, df) == pytest.approx(expected, rel=2e-3)


def test_the_standard_error_is_millers_with_clusters():
    draw = random.Random(1)
    clusters = [draw.randrange(40) for _ in range(300)]
    shift = {cluster: draw.gauss(0, 1) for cluster in set(clusters)}
    values = [shift[cluster] + draw.gauss(0, 1) for cluster in clusters]
    n, mean = len(values), sum(values) / len(values)
    pairs = [(a - mean) * (b - mean) for i, a in enumerate(values) for j, b in enumerate(values) if i != j and clusters[i] == clusters[j]]
    squares = sum((value - mean) ** 2 for value in values)
    groups = len(set(clusters))
    assert standard_error(values, clusters) == pytest.approx((groups / (groups - 1) * (squares + sum(pairs))) ** 0.5 / n)
    alone = standard_error(values, range(n))
    assert alone == pytest.approx((squares / (n - 1) / n) ** 0.5)
    assert standard_error(values, clusters) > 1.5 * alone


def test_an_estimate_says_how_its_interval_was_made():
    right = estimate([1, 1, 1, 1], range(4))
    assert (right.value, right.method) == (1.0, "Wilson")
    assert right.interval is not None
    assert right.interval == pytest.approx((0.5101, 1.0), abs=1e-4)
    assert estimate([0.5], ["a"]).interval is None
    assert estimate([1, 0], ["a", "a"]).interval is None  # one cluster tells nothing of others
    mean = estimate([1.0, 2.0, 3.0], range(3))
    assert mean.interval == pytest.approx((2 - 4.30265 / 3**0.5, 2 + 4.30265 / 3**0.5), rel=1e-4)


@pytest.mark.parametrize(("fixed", "broken", "expected"), [(14, 4, 0.030884), (4, 14, 0.030884), (0, 0, 1.0), (5, 5, 1.0), (0, 6, 0.03125)])
def test_mcnemars_exact_test(fixed, broken, expected):
    assert mcnemar(fixed, broken) == pytest.approx(expected, abs=1e-6)


def test_a_paired_comparison_sees_what_an_unpaired_one_does_not():
    before = [1.0] * 100 + [0.0] * 100
    after = [*before]
    after[:4] = [0.0] * 4
    after[100:114] = [1.0] * 14
    found = paired(before, after, range(200))
    assert (found.difference, found.fixed, found.broken, found.verdict) == (pytest.approx(0.05), 14, 4, "better")
    assert (found.method, found.p) == ("exact McNemar", pytest.approx(0.0309, abs=1e-4))
    unpaired = (0.5 * 0.5 / 200 + 0.55 * 0.45 / 200) ** 0.5
    assert 0.05 / unpaired < 1.1  # a z that is no evidence
    assert found.interval[0] > 0
    assert paired(after, before, range(200)).verdict == "worse"
    assert paired(before, after, range(200), lower_is_better=True).verdict == "worse"
    assert found.needed is not None
    assert found.needed > 200  # with 200 items such a difference is found in fewer than 80 % of the cases


def test_clusters_widen_the_interval():
    draw = random.Random(2)
    clusters = [item // 20 for item in range(400)]
    effect = [draw.gauss(0.02, 0.1) for _ in range(20)]
    before = [0.0] * 400
    after = [effect[cluster] + draw.gauss(0, 0.01) for cluster in clusters]
    alone, together = paired(before, after, range(400)), paired(before, after, clusters)
    assert alone.difference == together.difference
    assert together.interval[1] - together.interval[0] > 3 * (alone.interval[1] - alone.interval[0])
    assert together.method == "clustered paired bootstrap"
    half = 1.96 * standard_error([b - a for a, b in zip(before, after, strict=True)], clusters)
    assert (together.interval[1] - together.interval[0]) / 2 == pytest.approx(half, rel=0.15)


def test_the_bootstrap_is_seeded():
    values, clusters = [0.1, 0.5, -0.3, 0.2], [1, 2, 3, 3]
    assert bootstrap(values, clusters, seed=3) == bootstrap(values, clusters, seed=3)
    assert bootstrap(values, clusters, seed=3) != bootstrap(values, clusters, seed=4)


def test_equal_scores_are_within_noise():
    found = paired([1, 0, 1], [1, 0, 1], range(3))
    assert (found.p, found.verdict, found.needed, found.detectable) == (1.0, "within noise", None, 0.0)
