"""Adapters that start by taking a part out of the base (PiSSA, OLoRA), saved so that the base stays the base.

Such a start writes W = (W − s·B₀A₀) + s·B₀A₀: the first term into the base, the second into the adapter. What was learned against
the true base is s·(BA − B₀A₀) = s·[B, −B₀]·[A; A₀], a plain LoRA of twice the rank (PiSSA, https://arxiv.org/abs/2404.02948,
appendix on converting to LoRA).
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


def remember(model: Module) -> None:
    """Keep the adapter's first values on the model."""
    first = get_peft_model_state_dict(model, save_embedding_layers=False)
    setattr(model, _ATTRIBUTE, {name: tensor.detach().cpu().clone() for name, tensor in first.items() if ".lora_" in name})


def initial_of(model: Module) -> dict[str, Tensor]:
    """What `remember` kept; empty for an adapter that left its base alone."""
    return getattr(model, _ATTRIBUTE, {})


def as_plain_lora(state: Mapping[str, Tensor], config: Any, initial: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Any]:
    """The same update as a LoRA of rank 2r on the untouched base: its weights and its configuration."""
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
