"""Advantages of answers, from the rewards of their groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from swift_rollouts.options import Estimator, Scale

_TINY = 1e-4  # added to a deviation, as TRL does


def advantages(rewards: Sequence[NDArray[np.float64]], scale: Scale, estimator: Estimator) -> list[NDArray[np.float64]]:
    """Return the advantage of each answer.

    Args:
        rewards: of the answers of each group, (answers,).
        scale: divide by the deviation of the rewards of the group, of all groups, or by nothing.
        estimator: grpo: reward minus the mean of the group (Shao et al. 2024, https://arxiv.org/abs/2402.03300). rloo: minus the mean of
            the group's other answers (Ahmadian et al. 2024, https://arxiv.org/abs/2402.14740). reinforce_plus_plus: minus the mean of all
            answers, divided by their deviation (Hu 2025, https://arxiv.org/abs/2501.03262).

    Returns:
        An array for each group, (answers,). Without any difference in rewards the advantage is exactly 0.
    """
    every = np.concatenate(list(rewards))
    deviation = float(every.std(ddof=1)) if len(every) > 1 else 0.0
    found = []
    for group in rewards:
        if estimator == "reinforce_plus_plus":
            found.append((group - every.mean()) / (deviation + _TINY) if np.ptp(every) > 0 else np.zeros(len(group)))
            continue
        if len(group) < 2 or np.ptp(group) == 0:
            found.append(np.zeros(len(group)))
            continue
        centered = group - group.mean()
        if estimator == "rloo":
            centered = centered * len(group) / (len(group) - 1)
        spread = {"group": float(group.std(ddof=1)), "batch": deviation, "none": None}[scale]
        found.append(centered if spread is None else centered / (spread + _TINY))
    return found
