"""Supervised fine-tuning with another loss: cross entropy, and the z-loss, which keeps the logits from drifting.

Source: Chowdhery et al. 2022 (PaLM), https://arxiv.org/abs/2204.02311, section 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_train.tasks import SftTask
from torch.nn import functional

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from torch import Tensor

    from swift_plugin_acme.options import AcmeOptions


class Acme(SftTask):
    """Next-token prediction with the z-loss."""

    options: AcmeOptions

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """Return the weighted sum of the cross entropies and z-losses.

        Args:
            output: logits at the supervised positions, shape (supervised tokens, vocabulary).
            micro: the micro-batch, with the labels and weights of these positions.
        """
        logits = output.float()
        losses = functional.cross_entropy(logits, micro.labels, reduction="none")
        losses = losses + self.options.z_loss * logits.logsumexp(-1) ** 2
        return (losses * micro.weights).sum()
