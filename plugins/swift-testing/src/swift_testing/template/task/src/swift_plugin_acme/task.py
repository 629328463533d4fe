"""Rows, masks and the forward pass are those of supervised fine-tuning; the loss is another.

Method: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7.
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
    """Next-token prediction where no token is quite certain."""

    options: AcmeOptions

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """Sum of the smoothed cross entropies, each times its weight; `output` are the logits at the learned places alone."""
        losses = functional.cross_entropy(output.float(), micro.labels, reduction="none", label_smoothing=self.options.smoothing)
        return (losses * micro.weights).sum()
