"""That `fully_shard` has cut a model, and into as many parts as was asked for."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from swift_train.placement_report import measure_placement
from swift_train.sharding import fsdp_modules
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, Shard

from swift_core.errors import SwiftError

if TYPE_CHECKING:
    import torch
    from torch.distributed.device_mesh import DeviceMesh
    from torch.nn import Module


def verify_sharding(module: Module, mesh: DeviceMesh, dtype: torch.dtype) -> dict[str, Any]:
    """Check that every parameter is cut as asked and that this process holds its part alone; return it for the run's record.

    Raises:
        SwiftError: it is not so. Libraries have been seen to train whole copies instead, in silence.
    """
    size = mesh.size(mesh.ndim - 1)
    most = 0
    for name, parameter in module.named_parameters():
        if not isinstance(parameter, DTensor) or parameter.device_mesh != mesh or parameter.placements[-1] != Shard(0):
            raise _not_cut(f"the weight {name} is not cut over the mesh")
        most += -(-parameter.shape[0] // size) * prod(parameter.shape[1:]) * parameter.element_size()
    found = measure_placement(module)
    if not isinstance(module, FSDPModule) or found["weight_bytes"] > most:
        raise _not_cut(f"a process holds {found['weight_bytes']:,} bytes of {found['model_bytes']:,}, and {most:,} at most are its part")
    return found | {
        "processes": mesh.size(),
        "shard_size": size,
        "blocks": sum(1 for _ in fsdp_modules(module)) - 1,
        "precision": str(dtype).removeprefix("torch."),
    }


def _not_cut(otherwise: str) -> SwiftError:
    return SwiftError(f"fully_shard did not prepare what was asked for: {otherwise}", where="parallel", hint="Please report this.")
