"""The reward that a scheduler gives."""

from __future__ import annotations

from collections.abc import Sequence

from swift_rollouts.rewards.reward import Answered, Reward


class Environment(Reward):
    """Sum of the rewards that the scheduler gave, an environment; None if it gave none."""

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """Return the sum for each answer."""
        return [answer.environment for answer in answers]
