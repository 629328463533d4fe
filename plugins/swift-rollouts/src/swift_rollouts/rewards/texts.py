"""Rewards of an answer's text: its format, and repetition."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import field_validator

from swift_core.options import option
from swift_rollouts.rewards.reward import Answered, Reward


class Format(Reward):
    """1 if the whole answer matches a regular expression, by default reasoning and answer in tags (DeepSeek-R1), else 0."""

    pattern: str = option(
        r"<think>.*?</think>\s*<answer>.*?</answer>", "Regular expression for the whole answer; a dot matches newlines too.", min_length=1
    )

    @field_validator("pattern")
    @classmethod
    def _valid(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """Return 1 or 0 for each answer."""
        return [float(bool(re.fullmatch(self.pattern, answer.text.strip(), re.DOTALL))) for answer in answers]


class Repetition(Reward):
    """Penalty for repeated n-grams of words: their share, times `max_penalty` (as ms-swift's reward of this name)."""

    n_grams: int = option(3, "Words per n-gram.", ge=1)
    max_penalty: float = option(-1.0, "Reward of an answer that only repeats.", le=0)

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """Return the penalty of each answer."""
        return [self._penalty(answer.text) for answer in answers]

    def _penalty(self, text: str) -> float:
        words = text.lower().split()
        grams = [tuple(words[start : start + self.n_grams]) for start in range(len(words) - self.n_grams + 1)]
        return (1 - len(set(grams)) / len(grams)) * self.max_penalty if grams else 0.0
