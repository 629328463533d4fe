"""Losses of supervised tokens beside the cross entropy.

- dft: Wu et al. 2025, https://arxiv.org/abs/2508.05629; eaft: https://arxiv.org/abs/2601.02151; both weight the cross entropy by a number
  without a gradient.
- focal: Lin et al. 2017, https://arxiv.org/abs/1708.02002.
- label smoothing: Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, as transformers' `LabelSmoother`.
- z-loss: Chowdhery et al. 2022, https://arxiv.org/abs/2204.02311.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import torch

from swift_train.losses import blocks, summed_cross_entropy

if TYPE_CHECKING:
    from torch import Tensor

    from swift_train.loss_options import LossOptions

_TOP = 20  # tokens whose entropy eaft measures


def is_cross_entropy(options: LossOptions) -> bool:
    """Return whether the loss is the cross entropy alone."""
    return options.loss_type == "cross-entropy" and not options.label_smoothing and not options.z_loss


def summed_loss(logits: Tensor, labels: Tensor, weights: Tensor, options: LossOptions) -> Tensor:
    """Return the weighted sum of the losses of the tokens, float32.

    Args:
        logits: (rows, vocabulary), any floating dtype.
        labels: (rows,) int64.
        weights: (rows,) float32.
        options: which loss.
    """
    if options.loss_type == "focal":
        total = _focal(logits, labels, weights, options.focal_gamma)
    else:
        factor = {"dft": _probability, "asft": _probability, "eaft": _entropy}.get(options.loss_type)
        factors = factor(logits, labels) if factor else None
        if factors is not None and options.loss_type == "eaft":
            factors = factors**options.eaft_alpha
        total = summed_cross_entropy(logits, labels, weights if factors is None else weights * factors)
    if not options.label_smoothing and not options.z_loss:
        return total
    denominators = torch.logsumexp(logits.float(), -1)
    if share := options.label_smoothing:
        even = (weights * (denominators - logits.float().mean(-1))).sum()
        total = (1 - share) * total + share * even
    if options.z_loss:
        total = total + options.z_loss * (weights * denominators.square()).sum()
    return total


@torch.no_grad()
def _probability(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the probabilities of the labels, (rows,) float32."""
    found = [torch.log_softmax(logits[part], -1, dtype=torch.float32).gather(1, labels[part, None]) for part in blocks(logits)]
    return torch.cat(found).squeeze(1).exp() if found else logits.new_zeros(0, dtype=torch.float32)


@torch.no_grad()
def _entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the entropies of the most probable tokens among themselves, from 0 to 1, (rows,) float32."""
    count = min(_TOP, logits.shape[-1])
    scores = torch.log_softmax(logits.topk(count, dim=-1).values.float(), -1)
    return -(scores.exp() * scores).sum(-1) / log(count)


def _focal(logits: Tensor, labels: Tensor, weights: Tensor, gamma: float) -> Tensor:
    """Return the focal loss; its gradient is that of a cross entropy with other weights."""
    p = _probability(logits, labels).clamp(1e-30, 1.0)
    rest = (1 - p).clamp_min(0.0)
    slopes = rest**gamma - gamma * rest ** (gamma - 1) * p * p.log() if gamma else torch.ones_like(p)
    slopes = torch.where(rest > 0, slopes, torch.zeros_like(slopes)) if gamma else slopes
    total = summed_cross_entropy(logits, labels, weights * slopes)
    value = (weights * rest**gamma * -p.log()).sum()
    return total + (value - total).detach()
