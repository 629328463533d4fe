"""Rewards of an answer's length in tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

from pydantic import model_validator

from swift_core.options import option
from swift_rollouts.rewards.accuracy import is_correct
from swift_rollouts.rewards.reward import Answered, Reward


class Length(Reward):
    """1 for an answer of `minimum` to `maximum` tokens; falls linearly to 0 at no tokens, and at twice the maximum."""

    minimum: int = option(0, "Fewest tokens of a full reward.", ge=0)
    maximum: int = option(..., "Most tokens of a full reward.", ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError("minimum must not be larger than maximum")
        return self

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """Return a number from 0 to 1 for each answer."""
        return [self._score(len(answer.ids)) for answer in answers]

    def _score(self, tokens: int) -> float:
        if tokens < self.minimum:
            return tokens / self.minimum
        return min(1.0, max(0.0, 2 - tokens / self.maximum))


class SoftOverlong(Reward):
    """Overlong reward shaping of DAPO (Yu et al. 2025, https://arxiv.org/abs/2503.14476): 0, and down to -1 in the last tokens."""

    max_length: int = option(..., "Maximum tokens of an answer (max_completion_length).", ge=1)
    cache_length: int = option(..., "Tokens before the maximum over which the penalty grows.", ge=1)

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """Return a number from -1 to 0 for each answer."""
        start = self.max_length - self.cache_length
        return [min(0.0, max(-1.0, (start - len(answer.ids)) / self.cache_length)) for answer in answers]


class Cosine(Reward):
    """Accuracy scaled by the length with a cosine (Yeo et al. 2025, https://arxiv.org/abs/2502.03373): short if right, long if wrong."""

    max_len: int = option(..., "Length in tokens at which the reward ends.", ge=1)
    min_len_value_correct: float = option(1.0, "Reward of a correct answer without tokens.")
    max_len_value_correct: float = option(0.5, "Reward of a correct answer of max_len tokens.")
    min_len_value_wrong: float = option(-0.5, "Reward of a wrong answer without tokens.")
    max_len_value_wrong: float = option(0.0, "Reward of a wrong answer of max_len tokens.")

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """Return the scaled accuracy of each answer."""
        return [self._score(is_correct(answer), len(answer.ids)) for answer in answers]

    def _score(self, correct: bool, tokens: int) -> float:
        short, long = (
            (self.min_len_value_correct, self.max_len_value_correct) if correct else (self.min_len_value_wrong, self.max_len_value_wrong)
        )
        return short - (short - long) * (1 - math.cos(min(1.0, tokens / self.max_len) * math.pi)) / 2
