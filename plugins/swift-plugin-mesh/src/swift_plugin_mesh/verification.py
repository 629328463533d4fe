"""Verification that every parameter is placed over the mesh as planned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from swift_train.placement_report import measure_placement
from torch.distributed.tensor import DTensor, Placement, Replicate

from swift_core.contract import SwiftError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

    from swift_plugin_mesh.tensor_parallel import ShardingStyle


def verify_sharding(module: Module, plan: Mapping[str, ShardingStyle]) -> dict[str, Any]:
    """Check that this process holds its shards only, and return the figures of `swift_train.placement_report.measure_placement`.

    Raises:
        SwiftError: as `check_placements`.
    """
    check_placements(module.named_parameters(), plan)
    return measure_placement(module)


def check_placements(parameters: Iterable[tuple[str, Parameter]], plan: Mapping[str, ShardingStyle]) -> None:
    """Check that parameters are sharded by the plan over the tensor dimension, and all of them over the data dimension.

    Args:
        parameters: with their names in the whole module.
        plan: the tensor-parallel plan, by module name.

    Raises:
        SwiftError: a placement differs. Libraries have been seen to train full replicas instead, silently.
    """
    for name, parameter in parameters:
        owner, _, kind = name.rpartition(".")
        planned = plan[owner].placement_of(kind) if owner in plan else Replicate()
        if (actual := placement_along(parameter, "tensor")) != planned:
            raise _mismatch(f"parameter {name} is {actual} over the tensor dimension; planned was {planned}")
        if placement_along(parameter, "data").is_replicate():
            raise _mismatch(f"parameter {name} is not sharded over the data dimension")


def placement_along(parameter: Tensor, dimension: str) -> Placement:
    """Return a parameter's placement along a mesh dimension; Replicate if it is no DTensor, or its mesh lacks the dimension."""
    if not isinstance(parameter, DTensor):
        return Replicate()
    names = parameter.device_mesh.mesh_dim_names or ()
    return parameter.placements[names.index(dimension)] if dimension in names else Replicate()


def _mismatch(reason: str) -> SwiftError:
    return SwiftError(
        f"the model was not placed over the mesh as requested: {reason}", code="PARALLEL-057", where="parallel", hint="Please report this."
    )
