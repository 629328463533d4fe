"""Options of the optimizers."""

from __future__ import annotations

from typing import Literal

from swift_train.optimizer_options import AdamOptions, BetasOptions

from swift_core.options import option


class GaLoreOptions(AdamOptions):
    """GaLore, https://arxiv.org/abs/2403.03507."""

    rank: int = option(128, "Rank of the projection.", ge=1, also=("galore_rank",))
    update_interval: int = option(
        50, "Steps between two computations of the projection.", ge=1, also=("galore_update_proj_gap", "galore_update_interval")
    )
    scale: float = option(1.0, "Factor of the projected updates.", gt=0, also=("galore_scale",))


class ApolloOptions(AdamOptions):
    """APOLLO, https://arxiv.org/abs/2412.05270."""

    rank: int = option(256, "Rank of the random projection; 1 with scale_type tensor is APOLLO-Mini.", ge=1, also=("apollo_rank",))
    update_interval: int = option(200, "Steps between two draws of the projection.", ge=1, also=("apollo_update_interval",))
    scale: float = option(1.0, "Factor of the updates.", gt=0, also=("apollo_scale",))
    scale_type: Literal["channel", "tensor"] = option(
        "channel", "What has a factor of its own: channel or tensor.", also=("apollo_scale_type",)
    )


class ScheduleFreeOptions(AdamOptions):
    """Schedule-Free AdamW, https://arxiv.org/abs/2405.15682."""

    r: float = option(0.0, "Exponent of the step in the weights of the average.", ge=0)
    weight_lr_power: float = option(2.0, "Exponent of the largest learning rate so far in the weights of the average.", ge=0)


class CameOptions(BetasOptions):
    """CAME, https://arxiv.org/abs/2307.02047."""

    beta2: float = option(0.999, "Decay rate of the running mean of the squared gradients.", ge=0, lt=1, also=("adam_beta2",))
    beta3: float = option(0.9999, "Decay rate of the running mean of the confidence.", ge=0, lt=1, also=("adam_beta3",))
    clip_threshold: float = option(1.0, "Maximum root mean square of an update.", gt=0)
