"""Options of the loss of next-token prediction."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from swift_core.options import Options, option


class LossOptions(Options):
    """Which loss a supervised token has, and what is added to it."""

    loss_type: Literal["cross-entropy", "dft", "focal", "eaft", "asft"] = option(
        "cross-entropy",
        "Loss of a token with probability p: -log p (cross-entropy); weighted by p (dft), by (1 - p)^focal_gamma (focal), or by the "
        "normalised entropy of the 20 most probable tokens, to the power of eaft_alpha (eaft); or as dft, with asft_alpha times the "
        "divergence from the model before training (asft), of which each process holds a copy.",
        values={"nll": "cross-entropy", "cross_entropy": "cross-entropy"},
    )
    focal_gamma: float = option(2.0, "Exponent of loss_type focal.", ge=0)
    eaft_alpha: float = option(1.0, "Exponent of loss_type eaft.", ge=0)
    asft_alpha: float = option(0.1, "Weight of the divergence of loss_type asft.", ge=0)
    label_smoothing: float = option(
        0.0,
        "Label smoothing: fraction of the target probability that is spread evenly over the vocabulary.",
        ge=0,
        lt=1,
        also=("label_smoothing_factor",),
    )
    z_loss: float = option(
        0.0,
        "Weight of the z-loss: the squared logarithm of the softmax denominator, which keeps logits small.",
        ge=0,
        also=("z_loss_weight",),
    )
    router_loss: Annotated[float, Field(ge=0)] | Literal["checkpoint"] = option(
        0.0,
        "Weight of the loss that balances the load of experts, as transformers computes it; checkpoint is the weight in its config.json. "
        "It is not in the reported loss.",
        also=("router_aux_loss_coef", "moe_aux_loss_coef"),
    )
    neftune_noise_alpha: float = option(
        0.0,
        "Amplitude of NEFTune: uniform noise of at most alpha / sqrt(tokens of the row * hidden size) on the embeddings in training.",
        ge=0,
        also=("neftune_alpha", "noisy_embedding_alpha"),
    )
