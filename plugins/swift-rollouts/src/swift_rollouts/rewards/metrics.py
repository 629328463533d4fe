"""Metrics of evaluations as rewards: exact, f1, numeric, …; code in the sandbox; a judge model."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import PrivateAttr
from swift_evaluate.metrics.code import PassAtK
from swift_evaluate.metrics.judge import Judge
from swift_evaluate.metrics.metric import Graded, Metric

from swift_core.options import option
from swift_rollouts.rewards.reward import EXPECTED, Answered, Reward

_AT_ONCE = 8  # calls of a metric at the same time


class MetricReward(Reward):
    """A metric of `swift-evaluate` as a reward: its score under its own name."""

    _name: str = PrivateAttr()
    _metric: Metric = PrivateAttr()

    @classmethod
    def of(cls, name: str, metric: Metric) -> MetricReward:
        """Return the reward that is a metric."""
        made = cls()
        made._name, made._metric = name, metric
        return made

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """Return the metric of each answer; None where it has none."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda answer: metric_of(self._metric, self._name, answer), answers))


class Code(Reward):
    """1 if the code of the answer passes the tests of its row (`test`, `entry_point`), executed in the sandbox, else 0."""

    seconds: int = option(10, "Limit of CPU time of each execution.", ge=1)
    memory: int = option(1 << 30, "Memory limit of each execution, in bytes.", gt=0)

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """Return 1 or 0 for each answer."""
        metric = PassAtK(seconds=self.seconds, memory=self.memory)
        for answer in answers[:1]:
            metric.check(answer.fields, ())
        return MetricReward.of("pass@1", metric).score(answers)


class JudgeReward(Reward):
    """The grade of a judge model by a rubric, over a URL, from 0 to 1; None if it gives none."""

    url: str = option(..., "URL of the judge's server, ending in /v1.")
    rubric: str = option(..., "What makes a good answer.", min_length=1)
    model: str = option("", "Name of the judge model; default: the first of the server.")
    lowest: int = option(1, "Lowest grade.")
    highest: int = option(5, "Highest grade.")
    api_key_env: str = option("SWIFT_JUDGE_API_KEY", "Environment variable with the API key of the judge's server.")
    max_tokens: int = option(1024, "Maximum tokens of a reply.", ge=1)

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """Return the grade of each answer."""
        return MetricReward.of("judge", Judge(**self.model_dump())).score(answers)


def metric_of(metric: Metric, name: str, answer: Answered) -> float | None:
    """Return a metric of an answer; None if it has none.

    Raises:
        SwiftError: the metric failed.
        ValueError: the row lacks what the metric needs.
    """
    expected = (answer.expected,) if any(answer.fields.get(key) is not None for key in EXPECTED) else ()
    question = str(answer.messages[-1].get("content") or "") if answer.messages else ""
    given = Graded(text=answer.text, expected=expected, row=answer.fields, question=question)
    metric.check(answer.fields, expected)
    scores = metric.score(given)
    return scores.get(name, next((value for key, value in scores.items() if not key.endswith("_failed")), None))
