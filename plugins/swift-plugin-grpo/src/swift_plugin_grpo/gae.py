"""Rewards of tokens, and generalised advantage estimation (Schulman et al. 2015, https://arxiv.org/abs/1506.02438)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
_TINY = 1e-8  # added to a variance, as TRL does


def token_rewards(score: float, old: Array, reference: Array, kl_coef: float) -> Array:
    """Return the reward of each sampled token, (tokens,): the answer's score at the last one, minus the divergence from the reference.

    Args:
        score: of the answer.
        old, reference: log-probabilities by the policy that is trained and by the reference policy, (tokens,).
        kl_coef: weight of the divergence, whose estimate at a token is the difference of the two.
    """
    found = -kl_coef * (old - reference)
    found[-1] += score
    return found


def gae(rewards: Array, values: Array, gamma: float, lam: float) -> tuple[Array, Array]:
    """Return the advantages and the returns of the tokens of an answer, (tokens,) each; what follows the last token is worth nothing.

    Args:
        rewards, values: of the tokens, (tokens,); a value is that of the state before its token.
        gamma: discount factor.
        lam: decay of the weights of later temporal differences.
    """
    following = np.append(values[1:], np.float32(0))
    differences = rewards + gamma * following - values
    found, last = np.empty_like(values), 0.0
    for place in range(len(values) - 1, -1, -1):
        last = differences[place] + gamma * lam * last
        found[place] = last
    return found, found + values


def whitened(parts: Sequence[Array], *, shift: bool) -> list[Array]:
    """Return arrays divided by the standard deviation of all their numbers, and if `shift` with a mean of 0; else the mean stays."""
    every = np.concatenate(list(parts)).astype(np.float64)
    mean, scale = every.mean(), 1 / np.sqrt(every.var(ddof=1) + _TINY) if len(every) > 1 else 1.0
    return [((part - mean) * scale + (0 if shift else mean)).astype(np.float32) for part in parts]
