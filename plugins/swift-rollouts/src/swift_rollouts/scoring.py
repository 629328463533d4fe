"""Score groups of answers with the rewards of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swift_core.contract import UsageError
from swift_rollouts.generation import Group
from swift_rollouts.prompts import PromptFacts
from swift_rollouts.rewards.process import RewardProcess
from swift_rollouts.rewards.reward import Answered


@dataclass(frozen=True, slots=True)
class Scorer:
    """Sets the rewards of answers.

    Attributes:
        process: computes them.
        facts: of the prompts, by index.
        weights: of the rewards.
        eos_penalty: is subtracted from the reward of an answer that was truncated.
    """

    process: RewardProcess
    facts: Sequence[PromptFacts]
    weights: Sequence[float]
    eos_penalty: float = 0.0

    def __call__(self, groups: Sequence[Group]) -> None:
        """Set the rewards of the answers of groups.

        Raises:
            UsageError: a reward failed; no reward applies to an answer.
        """
        answers = [(answer, self.facts[group.prompt]) for group in groups for answer in group.answers]
        given = [
            Answered(
                text=each.text, ids=each.ids, finish=each.finish, messages=of.messages, fields=of.fields, turns=each.turns,
                environment=each.environment,
            )
            for each, of in answers
        ]  # fmt: skip
        scores = list(self.process.score(given).values())
        for number, (answer, _) in enumerate(answers):
            answer.rewards = [column[number] for column in scores]
            if all(value is None for value in answer.rewards):
                raise UsageError(
                    "no reward applies to an answer: each returned None",
                    code="RL-021",
                    where="reward_funcs",
                    hint="Name a reward that scores every answer, or correct the rows.",
                )

    def has_spread(self, group: Group) -> bool:
        """Return whether the answers of a group have different rewards."""
        return bool(np.ptp(totals(group, self.weights, self.eos_penalty)) > 0)


def totals(group: Group, weights: Sequence[float], eos_penalty: float = 0.0) -> NDArray[np.float64]:
    """Return the weighted sum of the rewards of each answer of a group, (answers,); a reward that does not apply counts as 0.

    `eos_penalty` is subtracted from that of an answer that was truncated.
    """
    values = np.array([[value or 0.0 for value in answer.rewards] for answer in group.answers], np.float64)
    truncated = np.array([answer.finish == "length" for answer in group.answers], np.float64)
    return values @ np.array(weights, np.float64) - eos_penalty * truncated
