"""Weights packed to 4 bits by bitsandbytes, sharded: their bytes are seen as numbers of the dtype of the passes, which nothing reads.

A packed weight is a column of bytes, and its layer has what expands it (`quant_state`). Seen as floating-point numbers, the bytes are cut,
gathered and freed as the other weights are, without a change of type. The layer recognises them by its own state (as written for FSDP in
bitsandbytes' `fix_4bit_weight_quant_state_from_module`). The state itself, about an eighth of a bit per weight, is on every process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import Parameter
from torch.nn.utils.parametrize import is_parametrized

if TYPE_CHECKING:
    from torch.nn import Module

_STATE = "quant_state"  # of a layer, or of the parametrization that expands the experts of a mixture
_PACKED = ("weight", "original")


def shardable(module: Module, dtype: torch.dtype, device: torch.device) -> None:
    """Replace the packed weights of a model by parameters of `dtype` with the same bytes, and move what expands them to the device."""
    for part in module.modules():
        if is_parametrized(part):
            part._state_dict_hooks.clear()  # bitsandbytes' would name a shard as the expanded weight, and expand it
        state = next((vars(each)[_STATE] for each in (part, *part.children()) if vars(each).get(_STATE) is not None), None)
        if state is None:
            continue
        for name in _PACKED:
            weight = part._parameters.get(name)
            if weight is not None and weight.dtype == torch.uint8 and weight.numel() % dtype.itemsize == 0:
                part._parameters[name] = Parameter(weight.data.view(-1).view(dtype).view(-1, 1), requires_grad=False)
                state.to(device)
