"""Supervised fine-tuning with another loss: cross entropy less the entropy of the predictions.

Source: Pereyra et al. 2017, https://arxiv.org/abs/1701.06548, section 3.
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
    """Next-token prediction with a confidence penalty."""

    options: AcmeOptions

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """Return the weighted sum of the cross entropies, less the entropies.

        Args:
            output: logits at the supervised positions, shape (supervised tokens, vocabulary).
            micro: the micro-batch, with the labels and weights of these positions.
        """
        logs = functional.log_softmax(output.float(), -1)
        entropy = -(logs.exp() * logs).sum(-1)
        losses = functional.nll_loss(logs, micro.labels, reduction="none") - self.options.confidence_penalty * entropy
        return (losses * micro.weights).sum()
