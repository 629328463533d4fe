"""The losses of GRPO and its variants, by the names that TRL gives them (trl 1.16, `GRPOTrainer`).

Shapes: (tokens,) are the sampled tokens of a micro-batch, over all of its answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from torch import Tensor

    from swift_plugin_grpo.options import GrpoOptions

ENTROPIC = "entropic"  # column: 1 for the tokens of a step with the highest entropy, else 0
_LIMIT = 20.0  # of a log ratio, so that its exponential is finite
_ROUNDING = 1e-4  # nats: a smaller difference to the engine is float32 rounding, which depends on what else the engine computed


@dataclass(frozen=True, slots=True)
class Terms:
    """The loss of each sampled token, and what the metrics need, (tokens,) each.

    Attributes:
        losses: with the weights of the correction, without those of the mean.
        kept: 1, or 0 for a token that the correction masks.
        ratio: importance ratio to the policy that sampled the answers.
        low, high: whether the ratio is clipped.
        divergence: from the reference policy; None without one.
        to_teacher: from the teacher; None without one.
        mismatch: divergence of the model from the engine.
    """

    losses: Tensor
    kept: Tensor
    ratio: Tensor
    low: Tensor
    high: Tensor
    divergence: Tensor | None
    mismatch: Tensor
    to_teacher: Tensor | None


def terms(now: Tensor, micro: Micro, options: GrpoOptions) -> Terms:
    """Return the terms of a micro-batch.

    Args:
        now: log-probabilities of the sampled tokens, with gradient.
        micro: with the columns `advantage` (sequences,), `engine` (tokens,), and if there are such `old`, `reference`, `teacher` (tokens,).
        options: of the task.
    """
    old = micro.columns["old"] if "old" in micro.columns else now.detach()
    advantage = micro.columns["advantage"][micro.sequence]
    to_teacher = None
    if "teacher" in micro.columns:  # Lu et al. 2025, https://thinkingmachines.ai/blog/on-policy-distillation
        nearer = micro.columns["teacher"] - old
        advantage = advantage + options.teacher_kl_coef * nearer
        to_teacher = nearer.exp() - nearer - 1
    log_ratio = now - old
    if options.by_sequence:
        log_ratio = _mean(log_ratio, micro)[micro.sequence]
    ratio = log_ratio.clamp(-_LIMIT, _LIMIT).exp()
    losses, low, high = _policy_losses(ratio, advantage, now, options)
    weight, kept = correction(old - micro.columns["engine"], micro, options)
    losses = losses * weight
    if ENTROPIC in micro.columns:
        losses = losses * micro.columns[ENTROPIC]
    divergence = None
    if "reference" in micro.columns:
        difference = micro.columns["reference"] - now
        divergence = difference.exp() - difference - 1  # Schulman 2020, http://joschu.net/blog/kl-approx.html
        if not options.reduces_rewards:
            losses = losses + options.beta * divergence
    mismatch = (now.detach() if options.num_iterations == 1 and "old" not in micro.columns else old) - micro.columns["engine"]
    return Terms(losses, kept, ratio.detach(), low, high, divergence, mismatch.exp() - 1 - mismatch, to_teacher)


def _policy_losses(ratio: Tensor, advantage: Tensor, now: Tensor, options: GrpoOptions) -> tuple[Tensor, Tensor, Tensor]:
    if options.loss_type == "cispo":  # MiniMax-M1, https://arxiv.org/abs/2506.13585
        high = (ratio > options.high) & (advantage > 0)
        return -ratio.clamp(max=options.high).detach() * advantage * now, torch.zeros_like(high), high
    if options.loss_type == "sapo":  # Gao et al. 2025, https://arxiv.org/abs/2511.20347
        temperature = torch.where(advantage > 0, options.sapo_temperature_pos, options.sapo_temperature_neg)
        none = torch.zeros_like(advantage, dtype=torch.bool)
        return -torch.sigmoid(temperature * (ratio - 1)) * 4 / temperature * advantage, none, none
    clipped = ratio.clamp(1 - options.epsilon, 1 + options.high)
    low, high = (ratio < 1 - options.epsilon) & (advantage < 0), (ratio > 1 + options.high) & (advantage > 0)
    free = ratio if options.delta is None else ratio.clamp(max=options.delta)
    return -torch.minimum(free * advantage, clipped * advantage), low, high


def correction(difference: Tensor, micro: Micro, options: GrpoOptions) -> tuple[Tensor, Tensor]:
    """Return the weight of each token for the difference to the engine, and 0 for those that are masked, else 1.

    Truncated: Yao et al. 2025, https://fengyao.notion.site/off-policy-rl. Masked: Liu et al. 2025, https://yingru.notion.site.

    Args:
        difference: log-probability of each token by the model, minus that by the engine.
        micro: the micro-batch.
        options: of the task.
    """
    mode = options.correction
    if mode == "none":
        return torch.ones_like(difference), torch.ones_like(difference)
    difference = torch.where(difference.abs() < _ROUNDING, 0.0, difference)
    if mode.startswith("sequence"):
        difference = micro.sums(difference)[micro.sequence]
    weight = difference.clamp(-_LIMIT, _LIMIT).exp().detach()
    lowest, highest = options.importance_sampling_min or 0.0, options.importance_sampling_max or float("inf")
    if mode.endswith("truncate"):
        return weight.clamp(lowest, highest), torch.ones_like(weight)
    kept = ((weight >= lowest) & (weight <= highest)).float()
    return weight * kept, kept


def masked_count(micro: Micro, options: GrpoOptions) -> float:
    """Return how much of what the loss is a mean over is masked: tokens, or answers of which every token is; needs the column `old`."""
    _, kept = correction(micro.columns["old"] - micro.columns["engine"], micro, options)
    weights = micro.sample_weights[micro.sample]
    if options.loss_type in ("dapo", "bnpo", "cispo"):
        return float(((1 - kept) * weights[micro.sequence]).sum())
    gone = float(((micro.sums(kept) == 0) * weights).sum())
    return gone * (options.max_completion_length if options.loss_type == "dr_grpo" else 1)


def _mean(values: Tensor, micro: Micro) -> Tensor:
    """Return the mean over the tokens of each sequence, (sequences,)."""
    return micro.sums(values) / micro.sums(torch.ones_like(values)).clamp(min=1)
