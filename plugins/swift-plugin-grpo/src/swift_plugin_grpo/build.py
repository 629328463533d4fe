"""The rows of each step of a generation: answers with their advantages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from swift_rollouts.advantages import advantages
from swift_rollouts.reward_metrics import rewards_of
from swift_rollouts.samples import RolloutRow, RolloutSamples

from swift_plugin_grpo.generation_scores import GenerationScores, Rows

if TYPE_CHECKING:
    from swift_rollouts.generation import Answer, Generation
    from swift_train.samples import Samples

    from swift_plugin_grpo.options import GrpoOptions


class StepRows(RolloutSamples):
    """The rows of a step. Those whose advantage is 0 are computed only if there is a reference policy or a teacher.

    Args:
        rows: of the step, each with its column `advantage`.
        old: log-probabilities of the policy before the generation is trained; None if they are not needed.
        first: index of the step's first computed row among those of the generation.
    """

    def __init__(self, rows: Sequence[RolloutRow], options: GrpoOptions, old: GenerationScores | None, first: int) -> None:
        kept = [row for row in rows if not options.excludes(row.answer)]
        computed = _computed(rows, options)
        super().__init__(computed, sampled=len(kept), tokens=sum(row.answer.sampled for row in kept))
        self.old, self.first = old, first

    def mean_over(self, options: GrpoOptions) -> float:
        """Return what the loss of the step is a mean over."""
        if options.loss_type in ("dapo", "bnpo", "cispo"):
            return max(1.0, self.tokens)
        return max(1.0, self.sampled) * (options.max_completion_length if options.loss_type == "dr_grpo" else 1)


def build_steps(generation: Generation, options: GrpoOptions, rows_per_step: int, prompts: Samples, file: Path) -> list[StepRows]:
    """Return the rows of each step of a generation.

    Args:
        generation: the answers with their rewards.
        options: of the task.
        rows_per_step: answers per step.
        prompts: the encoded prompts.
        file: of the log-probabilities of the policy before the generation is trained.
    """
    rewards = rewards_of(generation, options)

    def complete(found: Rows) -> Rows:
        """Add the advantages of rewards that are reduced by the divergence, which the tokens' numbers tell."""
        if not options.reduces_rewards:
            return found
        divergences = iter([float((row["old"] - row["reference"]).sum()) for row in found])
        reduced = [group - options.beta * np.array([next(divergences) for _ in group]) for group in rewards]
        values = np.concatenate(advantages(reduced, options.scale_rewards, options.advantage_estimator)).astype(np.float32)
        return [{**row, "advantage": value} for row, value in zip(found, values[:, None], strict=True)]

    found = advantages(rewards, options.scale_rewards, options.advantage_estimator)
    rows = [
        RolloutRow.of(prompts, group, answer, {"advantage": float(advantage), **_of_tokens(answer)})
        for group, values in zip(generation.groups, found, strict=True)
        for answer, advantage in zip(group.answers, values.tolist(), strict=True)
    ]
    parts = [rows[start : start + rows_per_step] for start in range(0, len(rows), rows_per_step)]
    names = ["old", "reference"] if options.reduces_rewards else ["old"]
    old = GenerationScores([_computed(part, options) for part in parts], names, file, complete) if options.needs_old else None
    starts = np.cumsum([0, *(len(_computed(part, options)) for part in parts)]).tolist()
    return [StepRows(part, options, old, start) for part, start in zip(parts, starts, strict=False)]


def _of_tokens(answer: Answer) -> dict[str, NDArray[np.float32]]:
    """Return the log-probabilities of an answer's sampled tokens: the engine's, and those of a teacher's server."""
    teacher = {"teacher": answer.of_sampled(answer.teacher)} if answer.teacher else {}
    return {"engine": answer.of_sampled(answer.logprobs), **teacher}


def _computed(rows: Sequence[RolloutRow], options: GrpoOptions) -> list[RolloutRow]:
    """Return the rows from which something is learned; the first one with advantage 0, if there are none."""
    kept = [row for row in rows if not options.excludes(row.answer) and (row.columns["advantage"] or options.beta or options.has_teacher)]
    return kept or [replace(rows[0], columns={**rows[0].columns, "advantage": 0.0})]
