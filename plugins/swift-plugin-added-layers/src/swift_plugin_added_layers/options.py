"""Options of the tuners. Each class cites the paper of its method; defaults and other names are ms-swift's."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from swift_core.options import Names, Options, option


class BlockExpansionOptions(Options):
    """LLaMA Pro, https://arxiv.org/abs/2401.02415."""

    new_blocks: int = option(4, "Blocks to add.", ge=1, also=("llamapro_num_new_blocks",))
    groups: int | None = option(
        None,
        "Groups that the model's blocks are divided into; each gets its share of the new blocks after it. Default: one for each new block.",
        ge=1,
        also=("llamapro_num_groups",),
    )

    @model_validator(mode="after")
    def _shared(self) -> Self:
        if self.groups and self.new_blocks % self.groups:
            raise ValueError(f"{self.new_blocks} new blocks can't be shared by {self.groups} groups")
        return self


class BottleneckOptions(Options):
    """Adapters of Houlsby et al. 2019, https://arxiv.org/abs/1902.00751, placed as by Pfeiffer et al. 2021, arXiv:2005.00247."""

    size: int = option(128, "Width of the bottleneck.", ge=1, also=("adapter_length",))
    activation: Literal["gelu", "relu", "silu", "tanh"] = option("gelu", "Activation between the two layers.", also=("adapter_act",))
    after: Names = option(
        list,
        "Parts of a block that an adapter follows, by their names in it, such as self_attn and mlp. Default: the last one with linear "
        "layers, which is the feed-forward part.",
    )


class ReftOptions(Options):
    """LoReFT and its variants, https://arxiv.org/abs/2404.03592; every position is changed."""

    rank: int = option(4, "Rank of the subspace that is changed.", ge=1, also=("reft_rank",))
    layers: list[int] = option(list, "Numbers of the blocks whose output is changed, from 0; default: all.", also=("reft_layers",))
    variant: Literal["loreft", "noreft", "consreft", "lobireft", "direft", "nodireft"] = option(
        "loreft",
        "What is added to a hidden state h, with a basis R (orthonormal, but for no…): Rᵀ(Wh + b − Rh) (loreft, noreft), Rᵀ(b − Rh) "
        "(consreft), Rᵀb (lobireft), Rᵀ(Wh + b) (direft, nodireft).",
        also=("reft_intervention_type",),
    )
    dropout: float = option(0.0, "Dropout probability on what is added.", ge=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _pyreft(cls, values: object) -> object:
        """Accept pyreft's names of classes, such as LoreftIntervention."""
        if isinstance(values, dict) and isinstance(values.get("variant"), str):
            return {**values, "variant": values["variant"].removesuffix("Intervention").lower()}
        return values
