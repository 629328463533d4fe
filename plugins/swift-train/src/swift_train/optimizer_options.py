"""Options that several optimizers have."""

from __future__ import annotations

from swift_core.options import Options, option


class DecayOptions(Options):
    """Options of optimizers with weight decay."""

    weight_decay: float = option(0.1, "Weight decay, applied to matrices only.", ge=0, also=("adam_weight_decay",))


class BetasOptions(DecayOptions):
    """Options of optimizers with two running means."""

    beta1: float = option(0.9, "Decay rate of the running mean of the gradients.", ge=0, lt=1, also=("adam_beta1",))
    beta2: float = option(0.95, "Decay rate of the running mean of the squared gradients.", ge=0, lt=1, also=("adam_beta2",))


class AdamOptions(BetasOptions):
    """Options of Adam and its variants."""

    eps: float = option(1e-8, "Constant added to the denominator for numerical stability.", gt=0, also=("adam_epsilon", "adam_eps"))
