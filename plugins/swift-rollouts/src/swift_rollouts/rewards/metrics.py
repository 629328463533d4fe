"""Metrics of evaluations as rewards: exact, f1, numeric, …; code in the sandbox; a judge model."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import PrivateAttr
from swift_evaluate.metrics.code import ExecutionLimits, PassAtK
from swift_evaluate.metrics.judge import Judge, JudgeOptions
from swift_evaluate.metrics.metric import Graded, Metric

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


class Code(ExecutionLimits, Reward):
    """1 if the code of the answer passes the tests of its row (`test`, `entry_point`), executed in the sandbox, else 0."""

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """Return 1 or 0 for each answer."""
        metric = PassAtK(seconds=self.seconds, memory=self.memory)
        for answer in answers[:1]:
            metric.check(answer.fields, ())
        return MetricReward.of("pass@1", metric).score(answers)


class JudgeReward(JudgeOptions, Reward):
    """The grade of a judge model by a rubric, over a URL, from 0 to 1; None if it gives none."""

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
