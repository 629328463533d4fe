"""Convert an adapter that was initialised by subtraction from the base (PiSSA, OLoRA) into a plain LoRA of the unmodified base.

Such an initialisation writes W = (W − s·B₀A₀) + s·B₀A₀: the first term goes into the base, the second into the adapter. The update
relative to the original base is s·(BA − B₀A₀) = s·[B, −B₀]·[A; A₀], a plain LoRA of twice the rank (PiSSA,
https://arxiv.org/abs/2404.02948, appendix on converting PiSSA to LoRA).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from peft import get_peft_model_state_dict

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_ATTRIBUTE = "swift_initial_adapter"


def save_initial_values(model: Module) -> None:
    """Store a CPU copy of the adapter's initial A and B matrices on the model."""
    initial = get_peft_model_state_dict(model, save_embedding_layers=False)
    setattr(model, _ATTRIBUTE, {name: tensor.detach().cpu().clone() for name, tensor in initial.items() if ".lora_" in name})


def initial_values(model: Module) -> dict[str, Tensor]:
    """Return the values stored by `save_initial_values`, by parameter name; empty for an adapter that left its base unmodified."""
    return getattr(model, _ATTRIBUTE, {})


def as_plain_lora(state: Mapping[str, Tensor], config: Any, initial: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Any]:
    """Express the same update as a LoRA of rank 2r on the unmodified base.

    Args:
        state: the trained adapter weights by name: A of shape (r, inputs), B of shape (outputs, r).
        config: PEFT's LoraConfig of the trained adapter; it is not modified.
        initial: the initial values of A and B, by the same names.

    Returns:
        The concatenated weights, and a copy of the configuration with doubled ranks and the alpha that keeps the scale.
    """
    plain = dict(state)
    for name, first in initial.items():
        trained = state[name].detach().cpu()
        plain[name] = torch.cat([trained, first], dim=0) if ".lora_A" in name else torch.cat([trained, -first], dim=1)
    config = copy.deepcopy(config)
    factor = 2**0.5 if config.use_rslora else 2  # the scale stays alpha/r, or alpha/√r
    config.r *= 2
    config.rank_pattern = {name: 2 * rank for name, rank in config.rank_pattern.items()}
    config.lora_alpha *= factor
    config.alpha_pattern = {name: factor * alpha for name, alpha in config.alpha_pattern.items()}
    config.init_lora_weights = True
    return plain, config
