"""Options of the optimizers."""

from __future__ import annotations

from swift_train.optimizer_options import AdamOptions, DecayOptions

from swift_core.options import option


class LionOptions(DecayOptions):
    """Lion, https://arxiv.org/abs/2302.06675; its learning rate is 3 to 10 times lower than that of AdamW."""

    beta1: float = option(0.9, "Share of the running mean in the update.", ge=0, lt=1, also=("adam_beta1",))
    beta2: float = option(0.99, "Decay rate of the running mean of the gradients.", ge=0, lt=1, also=("adam_beta2",))


class AdEMAMixOptions(AdamOptions):
    """AdEMAMix, https://arxiv.org/abs/2409.03137."""

    beta2: float = option(0.999, "Decay rate of the running mean of the squared gradients.", ge=0, lt=1, also=("adam_beta2",))
    beta3: float = option(0.9999, "Decay rate of the slow running mean of the gradients.", ge=0, lt=1, also=("adam_beta3",))
    alpha: float = option(5.0, "Factor of the slow running mean.", gt=0)
