"""Options of the PEFT tuners, one class per method. `config_class` names PEFT's class, `keys` map our options to its fields.

Defaults follow ms-swift if it has the method (rank 8, alpha 32, dropout 0.05, every linear layer), else PEFT. Each class cites
the paper of its method.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from swift_core.options import Names, option
from swift_plugin_peft.adapter_options import AdapterOptions


class LoraOptions(AdapterOptions):
    """LoRA, https://arxiv.org/abs/2106.09685."""

    config_class: ClassVar[str] = "LoraConfig"
    keys: ClassVar[Mapping[str, str]] = {
        "rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "init": "init_lora_weights", "bias": "bias",
        "rslora": "use_rslora", "dora": "use_dora",
    }  # fmt: skip

    rank: int = option(8, "Rank of the update (r).", gt=0, also=("lora_rank",))
    alpha: int = option(32, "Scaling numerator: the update is multiplied by alpha / rank.", gt=0, also=("lora_alpha",))
    dropout: float = option(0.05, "Dropout probability on the adapter's input.", ge=0, lt=1, also=("lora_dropout",))
    init: str = option(
        "default",
        "Weight initialisation: default (zero update), gaussian, orthogonal, olora, pissa, pissa_niter_16 for a fast SVD, or lora_ga: from "
        "the gradients of the first training rows (LoRA-GA).",
        pattern=r"^(default|true|gaussian|orthogonal|olora|pissa|pissa_niter_\d+|lora_ga)$",
        also=("init_weights", "init_lora_weights"),
    )
    ga_rows: int = option(4, "lora_ga: training rows whose gradients are averaged.", ge=1)
    ga_direction: Literal["ArBr", "A2rBr", "ArB2r", "random"] = option(
        "ArB2r", "lora_ga: which singular vectors of the gradient A and B start with.", also=("lora_ga_direction",)
    )
    ga_scale: Literal["stable", "unit", "weight_svd", "gd_scale"] = option(
        "stable", "lora_ga: scale of the start values.", also=("lora_ga_scale",)
    )
    ga_gamma: int = option(16, "lora_ga: divides the start values, if the scale is stable.", ge=1, also=("lora_ga_stable_gamma",))
    bias: Literal["none", "all", "lora_only"] = option(
        "none", "Bias parameters to train: none, all, or lora_only (those of adapted layers).", also=("lora_bias",)
    )
    rslora: bool = option(False, "Scale by alpha / sqrt(rank) instead of alpha / rank (rsLoRA).", also=("use_rslora",))
    dora: bool = option(False, "Train the magnitude and the direction of each weight separately (DoRA).", also=("use_dora",))
    lr_ratio: float = option(
        1.0,
        "Ratio of the learning rates of B and A (LoRA+); 1: equal.",
        gt=0,
        also=("lorap_lr_ratio", "loraplus_lr_ratio"),
    )
    parameters: Names = option(
        list,
        "Parameters to adapt that are no modules, such as experts.gate_up_proj: names or ends of names; dropout is 0 if not given.",
        also=("target_parameters", "lora_target_parameters"),
    )

    @model_validator(mode="before")
    @classmethod
    def _without_dropout(cls, values: Any) -> Any:
        """Set the dropout to 0 if parameters are adapted: an update of a weight has no input that could be dropped."""
        given = isinstance(values, dict) and values.get("parameters")
        return {**values, "dropout": 0.0} if given and "dropout" not in values else values

    @model_validator(mode="after")
    def _fits(self) -> LoraOptions:
        if self.parameters and self.dropout:
            raise ValueError("dropout is of a layer's input, and parameters have none: set dropout to 0, or omit parameters")
        if self.parameters and (self.dora or self.init.startswith(("pissa", "olora", "orthogonal", "lora_ga"))):
            raise ValueError("parameters are adapted by plain LoRA: omit dora and init, or parameters")
        if self.dora and self.init.startswith(("pissa", "olora", "lora_ga")):
            raise ValueError(f"init '{self.init}' modifies the base weights, from which dora takes its magnitudes: use one of them")
        return self


class DoraOptions(LoraOptions):
    """DoRA, https://arxiv.org/abs/2402.09353."""

    dora: bool = option(True, "Train the magnitude and the direction of each weight separately (DoRA).", also=("use_dora",))


class RsLoraOptions(LoraOptions):
    """Rank-stabilised LoRA, https://arxiv.org/abs/2312.03732."""

    rslora: bool = option(True, "Scale by alpha / sqrt(rank) instead of alpha / rank (rsLoRA).", also=("use_rslora",))


class PissaOptions(LoraOptions):
    """PiSSA, https://arxiv.org/abs/2404.02948; saved as a LoRA of twice the rank that applies to the unmodified base."""

    init: str = option(
        "pissa",
        "Weight initialisation: pissa, or pissa_niter_16 for a fast SVD with 16 iterations.",
        pattern=r"^pissa(_niter_\d+)?$",
        also=("init_weights", "init_lora_weights"),
    )


class LoraPlusOptions(LoraOptions):
    """LoRA+, https://arxiv.org/abs/2402.12354."""

    lr_ratio: float = option(16.0, "Ratio of the learning rates of B and A.", gt=0, also=("lorap_lr_ratio", "loraplus_lr_ratio"))


class Ia3Options(AdapterOptions):
    """IA³, https://arxiv.org/abs/2205.05638; `auto` selects the layers that PEFT lists for the architecture."""

    config_class: ClassVar[str] = "IA3Config"
    keys: ClassVar[Mapping[str, str]] = {"feedforward": "feedforward_modules"}

    feedforward: Names | None = option(
        None, "Feed-forward layers among the targets: their input is scaled instead of their output.", also=("feedforward_modules",)
    )


class AdaLoraOptions(AdapterOptions):
    """AdaLoRA, https://arxiv.org/abs/2303.10512."""

    config_class: ClassVar[str] = "AdaLoraConfig"
    keys: ClassVar[Mapping[str, str]] = {
        "rank": "target_r", "first_rank": "init_r", "alpha": "lora_alpha", "dropout": "lora_dropout", "every": "deltaT",
        "orthogonal": "orth_reg_weight", "steps": "total_step",
    }  # fmt: skip
    steps: ClassVar[int] = 1 << 30  # PEFT requires the number of steps at construction, when it is not known yet; `prepare` sets it

    rank: int = option(8, "Target rank: the mean over all layers after pruning.", gt=0, also=("adalora_target_r", "lora_rank"))
    first_rank: int = option(12, "Initial rank of every layer.", gt=0, also=("adalora_init_r",))
    alpha: int = option(32, "Scaling numerator: the update is multiplied by alpha / rank.", gt=0, also=("lora_alpha",))
    dropout: float = option(0.05, "Dropout probability on the adapter's input.", ge=0, lt=1, also=("lora_dropout",))
    warmup: float = option(0.1, "Initial fraction of the steps, without pruning.", ge=0, lt=1)
    settle: float = option(0.3, "Final fraction of the steps, in which the ranks stay fixed.", ge=0, lt=1)
    every: int = option(1, "Pruning interval in steps.", ge=1, also=("adalora_deltaT",))
    orthogonal: float = option(0.5, "Weight of the orthogonality regularisation of P and Q.", ge=0, also=("adalora_orth_reg_weight",))

    @model_validator(mode="after")
    def _shrinks(self) -> AdaLoraOptions:
        if self.first_rank < self.rank:
            raise ValueError("first_rank must not be lower than rank")
        return self


class VeraOptions(AdapterOptions):
    """VeRA, https://arxiv.org/abs/2310.11454."""

    config_class: ClassVar[str] = "VeraConfig"
    keys: ClassVar[Mapping[str, str]] = {"rank": "r", "dropout": "vera_dropout", "d_initial": "d_initial", "seed": "projection_prng_key"}

    rank: int = option(256, "Rank of the shared random projections.", gt=0, also=("vera_rank",))
    dropout: float = option(0.0, "Dropout probability on the adapter's input.", ge=0, lt=1, also=("vera_dropout",))
    d_initial: float = option(0.1, "Initial value of the scaling vector d.", also=("vera_d_initial",))
    seed: int = option(0, "Random seed of the projections.", also=("vera_projection_prng_key",))


class RandLoraOptions(AdapterOptions):
    """RandLoRA, https://arxiv.org/abs/2502.00987."""

    config_class: ClassVar[str] = "RandLoraConfig"
    keys: ClassVar[Mapping[str, str]] = {
        "rank": "r",
        "alpha": "randlora_alpha",
        "dropout": "randlora_dropout",
        "seed": "projection_prng_key",
    }

    rank: int = option(32, "Rank of each random basis; a lower rank means more bases and more trainable parameters.", gt=0)
    alpha: int = option(640, "Scaling numerator: the update is multiplied by alpha / rank.", gt=0)
    dropout: float = option(0.0, "Dropout probability on the adapter's input.", ge=0, lt=1)
    seed: int = option(0, "Random seed of the bases.")


class VbLoraOptions(AdapterOptions):
    """VB-LoRA, https://arxiv.org/abs/2405.15179."""

    config_class: ClassVar[str] = "VBLoRAConfig"
    keys: ClassVar[Mapping[str, str]] = {
        "rank": "r",
        "vectors": "num_vectors",
        "vector_length": "vector_length",
        "topk": "topk",
        "dropout": "vblora_dropout",
    }

    rank: int = option(4, "Rank of the update.", gt=0)
    vectors: int = option(256, "Number of vectors in the shared bank.", gt=0)
    vector_length: int = option(256, "Length of each vector; it must divide the input and output sizes of the adapted layers.", gt=0)
    topk: int = option(2, "Number of bank vectors mixed into each sub-vector.", gt=0)
    dropout: float = option(0.0, "Dropout probability on the adapter's input.", ge=0, lt=1)


class LoHaOptions(AdapterOptions):
    """LoHa, https://arxiv.org/abs/2108.06098."""

    config_class: ClassVar[str] = "LoHaConfig"
    keys: ClassVar[Mapping[str, str]] = {"rank": "r", "alpha": "alpha", "dropout": "rank_dropout"}

    rank: int = option(8, "Rank of each of the two factors.", gt=0)
    alpha: int = option(32, "Scaling numerator: the update is multiplied by alpha / rank.", gt=0)
    dropout: float = option(0.0, "Rank dropout probability.", ge=0, lt=1)


class LoKrOptions(LoHaOptions):
    """LoKr, https://arxiv.org/abs/2309.14859."""

    config_class: ClassVar[str] = "LoKrConfig"
    keys: ClassVar[Mapping[str, str]] = {**LoHaOptions.keys, "factor": "decompose_factor"}

    factor: int = option(-1, "Size of the first Kronecker factor; -1 chooses it near the square root of the layer size.")


class MissOptions(AdapterOptions):
    """MiSS, formerly Bone, https://arxiv.org/abs/2409.15371."""

    config_class: ClassVar[str] = "MissConfig"
    keys: ClassVar[Mapping[str, str]] = {"rank": "r", "dropout": "miss_dropout"}

    rank: int = option(64, "Number of rows of the shared matrix.", gt=0)
    dropout: float = option(0.0, "Dropout probability on the adapter's input.", ge=0, lt=1)


class HraOptions(AdapterOptions):
    """Householder reflection adaptation, https://arxiv.org/abs/2405.17484."""

    config_class: ClassVar[str] = "HRAConfig"
    keys: ClassVar[Mapping[str, str]] = {"rank": "r", "orthogonal": "apply_GS"}

    rank: int = option(8, "Householder reflections per layer; with an even number the initial transformation is the identity.", gt=0)
    orthogonal: bool = option(False, "Orthogonalise the reflection vectors (Gram-Schmidt).")


class BoftOptions(AdapterOptions):
    """BOFT, https://arxiv.org/abs/2311.06243."""

    config_class: ClassVar[str] = "BOFTConfig"
    keys: ClassVar[Mapping[str, str]] = {
        "block_size": "boft_block_size",
        "blocks": "boft_block_num",
        "factors": "boft_n_butterfly_factor",
        "dropout": "boft_dropout",
    }

    block_size: int = option(
        4, "Block size; it must divide the layers' input sizes. Set it to 0 if `blocks` is given.", ge=0, also=("boft_block_size",)
    )
    blocks: int = option(0, "Number of blocks per layer, instead of the block size; 0 uses block_size.", ge=0, also=("boft_block_num",))
    factors: int = option(1, "Number of butterfly factors.", ge=1, also=("boft_n_butterfly_factor",))
    dropout: float = option(0.0, "Multiplicative dropout probability of blocks.", ge=0, lt=1, also=("boft_dropout",))


class OftOptions(AdapterOptions):
    """OFT, https://arxiv.org/abs/2306.07280."""

    config_class: ClassVar[str] = "OFTConfig"
    keys: ClassVar[Mapping[str, str]] = {"block_size": "oft_block_size", "blocks": "r", "dropout": "module_dropout"}

    block_size: int = option(32, "Block size; it must divide the layers' input sizes. Set it to 0 if `blocks` is given.", ge=0)
    blocks: int = option(0, "Number of blocks per layer, instead of the block size; 0 uses block_size.", ge=0)
    dropout: float = option(0.0, "Multiplicative dropout probability of blocks.", ge=0, lt=1)


class FourierFtOptions(AdapterOptions):
    """FourierFT, https://arxiv.org/abs/2405.03003."""

    config_class: ClassVar[str] = "FourierFTConfig"
    keys: ClassVar[Mapping[str, str]] = {
        "frequencies": "n_frequency",
        "scaling": "scaling",
        "seed": "random_loc_seed",
        "zero_init": "init_weights",
    }

    frequencies: int = option(2000, "Number of learned Fourier coefficients per layer.", gt=0, also=("fourier_n_frequency",))
    scaling: float = option(300.0, "Factor that multiplies the update.", also=("fourier_scaling",))
    seed: int = option(777, "Random seed of the coefficients' positions.")
    zero_init: bool = option(True, "Initialise the coefficients to zero instead of randomly.")


class AnyPeftOptions(AdapterOptions):
    """Any PEFT method that adapts layers, by PEFT's name; its options go into `config`."""

    config_class: ClassVar[str] = ""

    method: str = option(..., "PEFT's name for the method, such as c3a, delora, gralora, hira, road or waveft.")
