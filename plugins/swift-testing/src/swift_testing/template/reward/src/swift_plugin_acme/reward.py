"""Reward answers that say nothing twice."""

from __future__ import annotations

from collections.abc import Sequence

from swift_rollouts.rewards.reward import Answered, Reward

from swift_core.options import option


class Acme(Reward):
    """Part of the words of an answer that are new in it, down to `least`.

    The fields are options: `--reward-funcs acme:least=0.2`. It runs in a process of its own, and gets the answers of a batch at once, with
    the messages before them and the other fields of their rows.
    """

    least: float = option(0.0, "Reward of an answer that only repeats itself.", ge=0, le=1)

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """Return a number for each answer; None where the reward does not apply, as to an empty one."""
        return [self._score(answer.text.lower().split()) for answer in answers]

    def _score(self, words: Sequence[str]) -> float | None:
        return max(self.least, len(set(words)) / len(words)) if words else None
