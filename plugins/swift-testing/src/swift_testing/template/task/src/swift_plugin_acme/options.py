"""Options of the task: those of `swift sft`, and `z_loss`."""

from __future__ import annotations

from swift_train.options import SftOptions

from swift_core.options import option


class AcmeOptions(SftOptions):
    """Options of the task `acme`."""

    z_loss: float = option(1e-4, "Weight of the squared log-partition of each token's logits in the loss; 0: cross entropy alone.", ge=0)
