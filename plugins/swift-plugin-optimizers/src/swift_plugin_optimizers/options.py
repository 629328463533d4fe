"""Options of the optimizers."""

from __future__ import annotations

from typing import Literal

from swift_train.optimizer_options import AdamOptions, DecayOptions

from swift_core.options import option


class MuonOptions(AdamOptions):
    """Options of torch.optim.Muon, and of AdamW for the weights that are no matrices of hidden layers."""

    momentum: float = option(0.95, "Momentum of Muon.", ge=0, lt=1, also=("muon_momentum",))
    nesterov: bool = option(True, "Use Nesterov momentum in Muon.")
    ns_steps: int = option(5, "Newton-Schulz iterations of the orthogonalization.", ge=1)
    adjust_lr: Literal["match_rms_adamw", "original"] = option(
        "match_rms_adamw",
        "Scale of Muon's updates: 0.2 · sqrt(longer side), so that learning rates of AdamW fit (match_rms_adamw); or "
        "sqrt(rows / columns), at least 1 (original).",
        also=("adjust_lr_fn",),
    )


class AdafactorOptions(DecayOptions):
    """Options of transformers.optimization.Adafactor, with the learning rate of the schedule."""

    weight_decay: float = option(0.0, "Weight decay, applied to matrices only.", ge=0, also=("adam_weight_decay",))
    scale_parameter: bool = option(False, "Multiply the learning rate by the root mean square of each weight tensor.")
    clip_threshold: float = option(1.0, "Maximum root mean square of an update.", gt=0)
    decay_rate: float = option(-0.8, "Exponent of the decay of the running means.", lt=0)
    beta1: float | None = option(
        None, "Decay rate of a running mean of the updates, which takes as much memory as the weights; default: none.", ge=0, lt=1
    )


class BlockwiseOptions(AdamOptions):
    """Options of AdamW on some layers at a time."""

    layers: int = option(1, "Layers that are updated at a time.", ge=1, also=("lisa_activated_layers", "lisa_n_layers"))
    interval: int = option(
        50, "Steps after which others are chosen.", ge=1, also=("lisa_step_interval", "badam_switch_interval", "switch_block_every"),
    )  # fmt: skip
    order: Literal["ascending", "descending", "random"] = option("ascending", "Order of the layers.", also=("badam_switch_mode",))
    others: bool = option(False, "Update embeddings, output layer and last norm in every step.")


class LisaOptions(BlockwiseOptions):
    """Options of LISA, which draws the layers, and always updates what is outside of them."""

    layers: int = option(2, "Layers that are updated at a time.", ge=1, also=("lisa_activated_layers", "lisa_n_layers"))
    interval: int = option(20, "Steps after which others are drawn.", ge=1, also=("lisa_step_interval",))
    order: Literal["ascending", "descending", "random"] = option("random", "Order of the layers.")
    others: bool = option(True, "Update embeddings, output layer and last norm in every step.")


class SgdOptions(DecayOptions):
    """Options of torch.optim.SGD."""

    weight_decay: float = option(0.0, "Weight decay, applied to matrices only.", ge=0, also=("adam_weight_decay",))
    momentum: float = option(0.0, "Momentum; 0 keeps no state.", ge=0, lt=1)
    nesterov: bool = option(False, "Use Nesterov momentum; needs a momentum.")


class RmsPropOptions(DecayOptions):
    """Options of torch.optim.RMSprop."""

    weight_decay: float = option(0.0, "Weight decay, applied to matrices only.", ge=0, also=("adam_weight_decay",))
    alpha: float = option(0.99, "Decay rate of the running mean of the squared gradients.", ge=0, lt=1)
    momentum: float = option(0.0, "Momentum.", ge=0, lt=1)
    eps: float = option(1e-8, "Constant added to the denominator for numerical stability.", gt=0, also=("adam_epsilon",))


class AdagradOptions(DecayOptions):
    """Options of torch.optim.Adagrad."""

    weight_decay: float = option(0.0, "Weight decay, applied to matrices only.", ge=0, also=("adam_weight_decay",))
    eps: float = option(1e-10, "Constant added to the denominator for numerical stability.", gt=0, also=("adam_epsilon",))
