"""That the model is cut as asked, looked at once its weights are in it."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

from swift_core.contract.errors import SwiftError
from swift_plugin_megatron import groups, layout

if TYPE_CHECKING:
    import torch

    from swift_plugin_megatron.placement import Placement
    from swift_plugin_megatron.sharded_model import ShardedModel
    from swift_plugin_megatron.sizes import Sizes


def verify_sharding(placed: ShardedModel) -> dict[str, Any]:
    """Check groups and parts; return them for the run's record.

    Raises:
        SwiftError: they are others than asked for.
    """
    from megatron.core.models.gpt import GPTModel
    from megatron.core.tensor_parallel.layers import RowParallelLinear

    from swift_plugin_megatron.sequence_parallel import Row

    sizes, models, shapes = placed.sizes, [stage.model for stage in placed.stages], placed.transfer.shapes
    asked = {
        "tensor": sizes.tensor, "context": sizes.context, "data": sizes.data, "copies": sizes.copies, "pipeline": sizes.pipeline,
        "experts": sizes.expert,
    }  # fmt: skip
    found = {name: dist.get_world_size(getattr(groups, name)()) for name in asked}
    _require(found == asked, f"groups of so many processes: {found}")
    linears = {type(part) for part in placed.stages.modules() if isinstance(part, RowParallelLinear)}
    _require((Row in linears) == sizes.sequence, f"layers cut by inputs that are {[kind.__module__ for kind in linears]}")
    _require({type(model) for model in models} == {GPTModel}, f"{[type(model).__name__ for model in models]}")
    weights = dict(placed.stages.named_parameters())
    _require(weights.keys() == {placed.key(slot) for slot in placed.here}, f"other weights than the map's: {sorted(weights)[:3]}, …")
    for slot in placed.here:
        weight = weights[placed.key(slot)]
        most = sum(_part(shapes[name], slot, sizes) for name in slot.theirs)
        _require(weight.numel() == most, f"{weight.numel():,} numbers of {slot.ours}, of which {most:,} are this process's")
    return {
        "engine": GPTModel.__name__,
        "learned": sum(weight.numel() for weight in weights.values() if weight.requires_grad),
        "weight_bytes": sum(weight.numel() * weight.element_size() for weight in weights.values()),
        "model_bytes": sum(prod(shape) * placed.dtypes[name].itemsize for name, shape in shapes.items()),
        "tensor": sizes.tensor,
        "sequence": sizes.sequence,
        "context": sizes.context,
        "pipeline": sizes.pipeline,
        "chunks": sizes.chunks,
        "expert": sizes.expert,
        "processes": sizes.processes,
    }


def _part(shape: torch.Size, slot: Placement, sizes: Sizes) -> int:
    if slot.expert is not None:
        return prod(shape[1:])
    dimension = layout.cut_dimension(slot.kind, len(shape))
    if dimension is None:
        return prod(shape)
    rows = layout.padded(shape[dimension], slot.kind, sizes.tensor)
    return prod(shape) // shape[dimension] * rows // sizes.tensor


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SwiftError(f"megatron-core did not prepare what was asked for: {otherwise}", where="parallel", hint="Please report this.")
