"""That the model is cut as asked, looked at once its weights are in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from swift_core.errors import SwiftError
from swift_plugin_megatron import groups, layout

if TYPE_CHECKING:
    from swift_plugin_megatron.model import Stage
    from swift_plugin_megatron.sizes import Sizes
    from swift_plugin_megatron.slots import Slot
    from swift_plugin_megatron.transfer import Transfer


def prove(stage: Stage, sizes: Sizes, here: Sequence[Slot], transfer: Transfer, dtypes: Mapping[str, torch.dtype]) -> dict[str, Any]:
    """Check groups and parts; return them for the run's record.

    Args:
        here: the slots of this process's stage.
        dtypes: of all weights, by transformers' names.

    Raises:
        SwiftError: they are others than asked for.
    """
    from megatron.core.models.gpt import GPTModel

    found = tuple(dist.get_world_size(group()) for group in (groups.tensor, groups.pipeline, groups.data))
    _require(found == (sizes.tensor, sizes.pipeline, sizes.data), f"groups of {found} processes (tensor, pipeline, data)")
    _require(type(stage.model) is GPTModel, f"a {type(stage.model).__name__}")
    weights = dict(stage.model.named_parameters())
    _require(weights.keys() == {slot.ours for slot in here}, f"other weights than the map's: {sorted(weights)[:3]}, …")
    for slot in here:
        weight = weights[slot.ours]
        most = sum(_part(transfer.shapes[name], slot, sizes) for name in slot.theirs)
        _require(weight.numel() == most, f"{weight.numel():,} numbers of {slot.ours}, of which {most:,} are this process's")
    return {
        "engine": type(stage.model).__name__,
        "learned": sum(prod(transfer.shapes[name]) for slot in here for name in slot.theirs if weights[slot.ours].requires_grad),
        "weight_bytes": sum(weight.numel() * weight.element_size() for weight in weights.values()),
        "model_bytes": sum(prod(shape) * dtypes[name].itemsize for name, shape in transfer.shapes.items()),
        "tensor": sizes.tensor,
        "pipeline": sizes.pipeline,
        "processes": sizes.processes,
    }


def _part(shape: torch.Size, slot: Slot, sizes: Sizes) -> int:
    dimension = layout.cut_dimension(slot.kind, len(shape))
    if dimension is None:
        return prod(shape)
    rows = layout.padded(shape[dimension], slot.kind, sizes.tensor)
    return prod(shape) // shape[dimension] * rows // sizes.tensor


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SwiftError(f"megatron-core did not prepare what was asked for: {otherwise}", where="parallel", hint="Please report this.")
