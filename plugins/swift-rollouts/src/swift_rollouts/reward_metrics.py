"""The rewards of a generation, and metrics of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swift_rollouts.scoring import totals

if TYPE_CHECKING:
    from swift_rollouts.generation import Generation
    from swift_rollouts.options import RewardOptions


def rewards_of(generation: Generation, options: RewardOptions) -> list[NDArray[np.float64]]:
    """Return the total rewards of the answers of each group."""
    weights = options.reward_weights or [1.0] * len(generation.rewards)
    return [totals(group, weights, options.missing_eos_penalty) for group in generation.groups]


def metrics_of(generation: Generation, options: RewardOptions) -> dict[str, float]:
    """Return the metrics of a generation."""
    rewards = rewards_of(generation, options)
    answers = [answer for group in generation.groups for answer in group.answers]
    every = np.concatenate(list(rewards))
    parts: Mapping[str, list[float]] = {
        name: [value for answer in answers if (value := answer.rewards[place]) is not None] for place, name in enumerate(generation.rewards)
    }
    return {
        "reward": float(every.mean()),
        "reward_std": float(np.mean([group.std(ddof=1) if len(group) > 1 else 0.0 for group in rewards])),
        **{f"rewards/{name}": float(np.mean(values)) for name, values in parts.items() if values and len(parts) > 1},
        **({"groups_without_spread": float(sum(np.ptp(group) == 0 for group in rewards))} if max(map(len, rewards)) > 1 else {}),
        **({"groups_replaced": float(generation.replaced)} if generation.replaced else {}),
        **generation.metrics(),
        "completions/longest": float(max(answer.sampled for answer in answers)),
    }
