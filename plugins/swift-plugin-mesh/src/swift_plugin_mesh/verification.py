"""That a mesh is what it says: every weight lies over the processes as the plan has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from swift_train.placement_report import measure_placement
from torch.distributed.tensor import DTensor, Placement, Replicate

from swift_core.errors import SwiftError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

    from swift_plugin_mesh.tensor_parallel import Cut


def verify_sharding(module: Module, plan: Mapping[str, Cut]) -> dict[str, Any]:
    """Check that this process holds its part alone, and return where the weights are for the run's record.

    Raises:
        SwiftError: as `check_places`.
    """
    check_places(module.named_parameters(), plan)
    return measure_placement(module)


def check_places(parameters: Iterable[tuple[str, Parameter]], plan: Mapping[str, Cut]) -> None:
    """Check that weights are in parts: by the plan over the tensor dimension, and all of them over the data dimension.

    Args:
        parameters: with their names in the whole module.
        plan: what tensor parallelism cuts.

    Raises:
        SwiftError: it is not so. Libraries have been seen to train whole copies instead, in silence.
    """
    for name, parameter in parameters:
        owner, _, kind = name.rpartition(".")
        wanted = plan[owner].of(kind) if owner in plan else Replicate()
        if (lies := along(parameter, "tensor")) != wanted:
            raise _otherwise(f"the weight {name} is {lies} over the tensor dimension, and was to be {wanted}")
        if along(parameter, "data").is_replicate():
            raise _otherwise(f"the weight {name} is not cut over the data dimension")


def along(parameter: Tensor, dimension: str) -> Placement:
    """How a parameter lies along a dimension of the mesh."""
    if not isinstance(parameter, DTensor):
        return Replicate()
    names = parameter.device_mesh.mesh_dim_names or ()
    return parameter.placements[names.index(dimension)] if dimension in names else Replicate()


def _otherwise(what: str) -> SwiftError:
    return SwiftError(f"the mesh is not what was asked for: {what}", where="parallel", hint="Please report this.")
