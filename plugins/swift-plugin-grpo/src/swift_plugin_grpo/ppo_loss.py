"""The loss of PPO: clipped policy gradient and clipped squared error of the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from swift_train.tasks import Loss

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from torch import Tensor

    from swift_plugin_grpo.ppo_options import PpoOptions

_LIMIT = 20.0  # of a log ratio, so that its exponential is finite


def ppo_loss(every: Tensor, values: Tensor, micro: Micro, options: PpoOptions) -> Loss:
    """Return the sum of the losses of the sampled tokens, and metrics.

    Args:
        every: log-probabilities, (tokens, vocabulary).
        values: of the state before each token, (tokens,).
        micro: with the columns `old`, `value`, `reference`, `advantage`, `return`, `kl`, `engine` (tokens,).
        options: of the task.
    """
    columns, weights = micro.columns, micro.sample_weights[micro.sample][micro.sequence]
    now = every.gather(1, micro.labels[:, None]).squeeze(1)
    difference = (now - columns["old"]).clamp(-_LIMIT, _LIMIT)
    ratio, advantage = difference.exp(), columns["advantage"]
    clipped = ratio.clamp(1 - options.cliprange, 1 + options.cliprange)
    policy = -torch.minimum(ratio * advantage, clipped * advantage)
    near = columns["value"] + (values - columns["value"]).clamp(-options.cliprange_value, options.cliprange_value)
    errors = (values - columns["return"]) ** 2, (near - columns["return"]) ** 2
    value = 0.5 * torch.maximum(*errors)
    mismatch = columns["old"] - columns["engine"]
    found = {
        "policy_loss": policy,
        "value_loss": value,
        "value": values,
        "return": columns["return"],
        "ratio": ratio,
        "clip_ratio": (policy > -ratio * advantage).float(),
        "clip_ratio/value": (errors[1] > errors[0]).float(),
        "kl": columns["kl"],
        "kl_engine": mismatch.exp() - 1 - mismatch,
        "entropy": -(every.detach().exp() * every.detach()).sum(-1),
    }
    losses = policy + options.vf_coef * value
    return Loss((losses * weights).sum(), {name: ((each.detach() * weights).sum(), weights.sum()) for name, each in found.items()})
