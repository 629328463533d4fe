"""The rows of each step of a generation for PPO: answers whose tokens have advantages and returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from swift_rollouts.reward_metrics import rewards_of
from swift_rollouts.samples import RolloutRow, RolloutSamples

from swift_plugin_grpo.gae import gae, token_rewards, whitened
from swift_plugin_grpo.generation_scores import GenerationScores, Rows

if TYPE_CHECKING:
    from swift_rollouts.generation import Generation
    from swift_train.samples import Samples

    from swift_plugin_grpo.ppo_options import PpoOptions

SCORE = "score"  # column: reward of the answer
SCORED = ("old", "value", "reference")  # numbers of each token, computed by the model


class PpoRows(RolloutSamples):
    """The rows of a step.

    Args:
        rows: of the step, each with its column `score`; one that is left out stands for a step without others, and counts for nothing.
        scores: numbers of the tokens of the generation.
        first: index of the step's first row among those of the generation.
        empty: whether the rows are left out.
    """

    def __init__(self, rows: Sequence[RolloutRow], scores: GenerationScores, first: int, *, empty: bool) -> None:
        counted = [] if empty else rows
        super().__init__(rows, sampled=len(counted), tokens=sum(row.answer.sampled for row in counted))
        self.scores, self.first = scores, first


def build_steps(generation: Generation, options: PpoOptions, rows_per_step: int, prompts: Samples, file: Path) -> list[PpoRows]:
    """Return the rows of each step of a generation.

    Args:
        generation: the answers with their rewards.
        options: of the task.
        rows_per_step: answers per step.
        prompts: the encoded prompts.
        file: of the numbers of tokens before the generation is trained.
    """
    rows = [
        RolloutRow.of(prompts, group, answer, {SCORE: float(score), "engine": answer.of_sampled(answer.logprobs)})
        for group, rewards in zip(generation.groups, rewards_of(generation, options), strict=True)
        for answer, score in zip(group.answers, rewards.tolist(), strict=True)
    ]
    parts = [rows[start : start + rows_per_step] for start in range(0, len(rows), rows_per_step)]
    kept = [[row for row in part if not options.excludes(row.answer)] for part in parts]
    computed = [some or part[:1] for some, part in zip(kept, parts, strict=True)]
    counted = [row for some in computed for row in some]
    scores = GenerationScores(computed, SCORED, file, lambda found: with_advantages(found, counted, options))
    starts = np.cumsum([0, *map(len, computed)]).tolist()
    return [PpoRows(part, scores, start, empty=not some) for part, some, start in zip(computed, kept, starts, strict=False)]


def with_advantages(found: Rows, rows: Sequence[RolloutRow], options: PpoOptions) -> Rows:
    """Return the numbers of each row with the columns `advantage`, `return` and `kl`."""
    scores = [float(np.asarray(row.columns[SCORE])) for row in rows]
    rewards = [token_rewards(score, own["old"], own["reference"], options.kl_coef) for score, own in zip(scores, found, strict=True)]
    if options.whiten_rewards:
        rewards = whitened(rewards, shift=False)
    pairs = [gae(reward, own["value"], options.gamma, options.lam) for reward, own in zip(rewards, found, strict=True)]
    advantages = [advantage for advantage, _ in pairs]
    if options.whiten_advantages:
        advantages = whitened(advantages, shift=True)
    return [
        {**own, "advantage": advantage, "return": returns, "kl": own["old"] - own["reference"]}
        for own, advantage, (_, returns) in zip(found, advantages, pairs, strict=True)
    ]
