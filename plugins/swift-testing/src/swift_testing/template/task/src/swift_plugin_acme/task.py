"""Supervised fine-tuning with another loss: cross entropy with label smoothing.

Source: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7.
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
    """Next-token prediction with smoothed labels."""

    options: AcmeOptions

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """Return the weighted sum of the smoothed cross entropies.

        Args:
            output: logits at the supervised positions, shape (supervised tokens, vocabulary).
            micro: the micro-batch, with the labels and weights of these positions.
        """
        losses = functional.cross_entropy(output.float(), micro.labels, reduction="none", label_smoothing=self.options.smoothing)
        return (losses * micro.weights).sum()
