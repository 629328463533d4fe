"""Verification that megatron-core sharded the model as requested, once its weights are loaded."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

from swift_core.contract import SwiftError
from swift_plugin_megatron import groups, layout

if TYPE_CHECKING:
    import torch

    from swift_plugin_megatron.placement import Placement
    from swift_plugin_megatron.sharded_model import ShardedModel
    from swift_plugin_megatron.sizes import Sizes


def verify_sharding(model: ShardedModel) -> dict[str, Any]:
    """Check process groups, layers and shard sizes, and return them for the run's record, with the bytes that this process holds.

    Raises:
        SwiftError: the model is not sharded as requested.
    """
    from megatron.core.models.gpt import GPTModel
    from megatron.core.tensor_parallel.layers import RowParallelLinear

    from swift_plugin_megatron.sequence_parallel import RowLinear

    sizes, shapes = model.sizes, model.converter.shapes
    expected = {
        "tensor": sizes.tensor, "context": sizes.context, "data": sizes.data, "replicas": sizes.replicas, "pipeline": sizes.pipeline,
        "experts": sizes.expert,
    }  # fmt: skip
    actual = {name: dist.get_world_size(getattr(groups, name)()) for name in expected}
    _require(actual == expected, f"the process groups have the sizes {actual}")
    linears = {type(part) for part in model.stages.modules() if isinstance(part, RowParallelLinear)}
    _require((RowLinear in linears) == sizes.sequence, f"the row-parallel layers are from {[kind.__module__ for kind in linears]}")
    kinds = {type(stage.model) for stage in model.chunks}
    _require(kinds == {GPTModel}, f"the model is a {', '.join(kind.__name__ for kind in kinds)}")
    weights = dict(model.stages.named_parameters())
    placed = {model.parameter_name(placement) for placement in model.local_placements}
    _require(weights.keys() == placed, f"parameters differ from the weight map: {', '.join(sorted(weights.keys() ^ placed)[:3])}")
    for placement in model.local_placements:
        weight = weights[model.parameter_name(placement)]
        elements = sum(_shard_elements(shapes[name], placement, sizes) for name in placement.hf_names)
        _require(weight.numel() == elements, f"{placement.mcore_name} has {weight.numel():,} elements; its shard has {elements:,}")
    return {
        "engine": GPTModel.__name__,
        "trainable": sum(weight.numel() for weight in weights.values() if weight.requires_grad),
        "weight_bytes": sum(weight.numel() * weight.element_size() for weight in weights.values()),
        "model_bytes": sum(prod(shape) * model.dtypes[name].itemsize for name, shape in shapes.items()),
        "tensor": sizes.tensor,
        "sequence": sizes.sequence,
        "context": sizes.context,
        "pipeline": sizes.pipeline,
        "chunks": sizes.chunks,
        "expert": sizes.expert,
        "processes": sizes.processes,
    }


def _shard_elements(shape: torch.Size, placement: Placement, sizes: Sizes) -> int:
    if placement.expert is not None:
        return prod(shape[1:])
    dimension = layout.shard_dimension(placement.kind, len(shape))
    if dimension is None:
        return prod(shape)
    padded = layout.padded_size(shape[dimension], placement.kind, sizes.tensor)
    return prod(shape) // shape[dimension] * padded // sizes.tensor


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise SwiftError(
            f"megatron-core did not shard the model as requested: {reason}",
            code="PARALLEL-039",
            where="parallel",
            hint="Please report this.",
        )
