"""Weights packed to 4 bits by bitsandbytes, sharded: their bytes are seen as numbers of the dtype of the passes, which nothing reads.

A packed weight is a column of bytes, and its layer has what expands it (`quant_state`). Seen as floating-point numbers, the bytes are cut,
gathered and freed as the other weights are, without a change of type. The layer recognises them by its own state (as written for FSDP in
bitsandbytes' `fix_4bit_weight_quant_state_from_module`). The state itself, about an eighth of a bit per weight, is on every process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import Parameter

if TYPE_CHECKING:
    from torch.nn import Module

_STATE = "quant_state"


def shardable(module: Module, dtype: torch.dtype, device: torch.device) -> None:
    """Replace the packed weights of a model by parameters of `dtype` with the same bytes, and move what expands them to the device."""
    for part in module.modules():
        state, weight = vars(part).get(_STATE), part._parameters.get("weight")
        if state is None or weight is None or weight.dtype != torch.uint8 or weight.numel() % dtype.itemsize:
            continue
        part._parameters["weight"] = Parameter(weight.data.view(-1).view(dtype).view(-1, 1), requires_grad=False)
        state.to(device)
