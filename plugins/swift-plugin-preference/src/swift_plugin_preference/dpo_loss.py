"""The loss of micro-batches of preference pairs against a reference policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from swift_plugin_preference.alignment import COLUMN
from swift_plugin_preference.answers import log_probabilities, supervised_lengths
from swift_plugin_preference.dpo_losses import LOSSES, Ratios
from swift_plugin_preference.pairs import pair_loss, pairs

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import Loss
    from torch import Tensor

    from swift_plugin_preference.options import DpoLossOptions


def sorted_loss(options: DpoLossOptions) -> str:
    """Return the loss that compares the sorted answers of a step, if there is one."""
    return next((name for name in options.loss_type if name.startswith("aot")), "")


def dpo_loss(output: Tensor, micro: Micro, options: DpoLossOptions) -> Loss:
    """Return the weighted sum of the losses in `loss_type`, and metrics.

    Args:
        output: logits at the supervised positions.
        micro: pairs, with the column `reference`: log-probability of each answer by the reference policy.
        options: of the losses.
    """
    reference = micro.columns["reference"]
    found, lengths = log_probabilities(output, micro), supervised_lengths(micro)
    nll = -pairs(found / lengths)[0]
    aligned = micro.columns.get(COLUMN, torch.zeros_like(reference))
    ratios = Ratios(
        *pairs(found - reference), *pairs(lengths), *pairs(reference), *pairs(aligned), nll, options.beta, options.label_smoothing,
        options.discopop_tau,
    )  # fmt: skip
    weights = options.loss_weights or [1.0] * len(options.loss_type)
    losses = options.rpo_alpha * nll
    for name, weight in zip(options.loss_type, weights, strict=True):
        losses = losses + weight * LOSSES[name](ratios)
    return pair_loss(losses, options.beta * ratios.chosen, options.beta * ratios.rejected, micro, nll_loss=nll)
