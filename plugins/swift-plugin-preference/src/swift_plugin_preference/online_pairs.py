"""Pairs of sampled answers: of those to a prompt, the one with the highest reward and the one with the lowest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from swift_rollouts.reward_metrics import rewards_of
from swift_rollouts.samples import RolloutRow, RolloutSamples
from swift_train.samples import Sample, Samples

if TYPE_CHECKING:
    from swift_rollouts.generation import Generation

    from swift_plugin_preference.online_options import OnlineDpoOptions

PREFERRED = "preferred"  # column: 1 for the answers of a pair whose rewards differ, else 0

Pair = tuple[RolloutRow, RolloutRow]  # the chosen answer, and the rejected one


class PairSamples(RolloutSamples):
    """The pairs of a step, each of two sequences, the chosen one first.

    Args:
        pairs: at least one. Those without a preference are left out, but for one if there are no others.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        kept = [pair for pair in pairs if pair[0].columns[PREFERRED]]
        self.pairs = kept or list(pairs[:1])
        super().__init__(
            [pair[0] for pair in self.pairs], sampled=len(kept), tokens=sum(row.answer.sampled for pair in kept for row in pair)
        )
        self.counts = np.full(len(self.pairs), 2, np.int64)
        self.lengths = np.array([sum(len(row.prompt) + len(row.answer.ids) for row in pair) for pair in self.pairs], np.int64)
        self.media_counts = 2 * self.media_counts
        self.supervised = np.array([sum(row.answer.sampled for row in pair) for pair in self.pairs], np.int64)

    def sequences(self, index: int) -> list[Sample]:
        """Return the chosen and the rejected answer with their prompt."""
        return [row.sequence() for row in self.pairs[index]]


def build_pairs(generation: Generation, options: OnlineDpoOptions, per_step: int, prompts: Samples) -> list[PairSamples]:
    """Return the pairs of each step of a generation.

    Args:
        generation: the answers with their rewards.
        options: of the task.
        per_step: pairs of a step.
        prompts: the encoded prompts.
    """
    pairs: list[Pair] = []
    for group, rewards in zip(generation.groups, map(list, rewards_of(generation, options)), strict=True):
        usable = [place for place, answer in enumerate(group.answers) if not options.excludes(answer)] or [0]
        best, worst = max(usable, key=lambda each: rewards[each]), min(usable, key=lambda each: rewards[each])
        columns = {PREFERRED: float(rewards[best] > rewards[worst])}
        if best == worst:  # no preference: two answers nevertheless, which may have to stand for the step
            best, worst = 0, 1
        chosen, rejected = (RolloutRow.of(prompts, group, group.answers[place], columns) for place in (best, worst))
        pairs.append((chosen, rejected))
    return [PairSamples(pairs[start : start + per_step]) for start in range(0, len(pairs), per_step)]
