"""Verification that `fully_shard` sharded a model over the requested number of processes."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from swift_train.placement_report import measure_placement
from swift_train.sharding import fsdp_modules
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, Shard

from swift_core.contract import SwiftError

if TYPE_CHECKING:
    import torch
    from torch.distributed.device_mesh import DeviceMesh
    from torch.nn import Module


def verify_sharding(module: Module, mesh: DeviceMesh, dtype: torch.dtype) -> dict[str, Any]:
    """Check that every parameter is sharded over the mesh and that this process holds its shard only.

    Returns:
        For the run's record: the figures of `swift_train.placement_report.measure_placement`, and `processes`, `shard_size`, `blocks`
        (how many) and `precision`.

    Raises:
        SwiftError: a parameter is not sharded as requested. Libraries have been seen to train full replicas instead, silently.
    """
    size = mesh.size(mesh.ndim - 1)
    maximum = 0  # bytes of this process's shards
    for name, parameter in module.named_parameters():
        if not isinstance(parameter, DTensor) or parameter.device_mesh != mesh or parameter.placements[-1] != Shard(0):
            raise _not_sharded(f"parameter {name} is not sharded over the mesh")
        maximum += -(-parameter.shape[0] // size) * prod(parameter.shape[1:]) * parameter.element_size()
    found = measure_placement(module)
    if not isinstance(module, FSDPModule) or found["weight_bytes"] > maximum:
        raise _not_sharded(f"this process holds {found['weight_bytes']:,} of {found['model_bytes']:,} bytes; its shards have {maximum:,}")
    return found | {
        "processes": mesh.size(),
        "shard_size": size,
        "blocks": sum(1 for _ in fsdp_modules(module)) - 1,
        "precision": str(dtype).removeprefix("torch."),
    }


def _not_sharded(reason: str) -> SwiftError:
    return SwiftError(
        f"fully_shard did not shard the model as requested: {reason}", code="PARALLEL-015", where="parallel", hint="Please report this."
    )
