"""Verification that DeepSpeed runs the requested ZeRO stage. Libraries have been seen to fall back to plain DDP silently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swift_core.contract import SwiftError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

_ALIGNMENT = 256  # maximum padding of a parameter group per process, in elements
_FLOAT32 = 4
_STATES = 2  # AdamW's first and second moments


def verify_sharding(engine: Any, stage: int, ranks: int) -> dict[str, Any]:
    """Check engine, stage and shard sizes, and return them for the run's record, with the bytes that this process holds.

    Raises:
        SwiftError: the engine does not run ZeRO of that stage.
    """
    from deepspeed import DeepSpeedEngine
    from deepspeed.runtime.zero.stage3 import DeepSpeedZeroOptimizer_Stage3
    from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer

    zero = engine.optimizer
    _require(type(engine) is DeepSpeedEngine, f"the engine is {type(engine).__name__}")
    _require(engine.zero_optimization_stage() == stage, f"its stage is {engine.zero_optimization_stage()}, not {stage}")
    _require(
        isinstance(zero, DeepSpeedZeroOptimizer_Stage3 if stage == 3 else DeepSpeedZeroOptimizer), f"its optimizer is {type(zero).__name__}"
    )
    _require(stage == 3 or zero.partition_gradients == (stage == 2), f"partitioned gradients do not match stage {stage}")
    parameters = list(engine.module.parameters())
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    shards = master_weights(zero)
    local = sum(tensor.numel() for tensor in shards)
    total = sum(map(full_size, trainable))
    padding = len(trainable) + _ALIGNMENT * len(shards)
    _require(total <= local * ranks <= total + padding * ranks, f"a process updates {local:,} of {total:,} weights, with {ranks} processes")
    if stage == 3 and ranks > 1:
        unsharded = [parameter for parameter in parameters if parameter.ds_tensor.numel() * ranks >= full_size(parameter) + ranks]
        _require(not unsharded, f"{len(unsharded)} weights are not sharded")
    return {
        "engine": type(engine).__name__,
        "optimizer": f"{type(zero).__name__} over {type(zero.optimizer).__name__}",
        "stage": stage,
        "processes": ranks,
        "trainable": total,
        "weight_bytes": sum(map(local_bytes, parameters)),
        "model_bytes": sum(full_size(parameter) * parameter.element_size() for parameter in parameters),
        "optimizer_bytes": local * _FLOAT32 * (1 + _STATES),
    }


def master_weights(zero: Any) -> Sequence[Tensor]:
    """Return this process's shards of the float32 master weights, one flat tensor per parameter group."""
    shards: Sequence[Tensor] = (
        zero.fp32_partitioned_groups_flat if hasattr(zero, "fp32_partitioned_groups_flat") else (zero.single_partition_of_fp32_groups)
    )
    return shards


def full_size(parameter: Parameter) -> int:
    """Return the number of elements of the full parameter, sharded or not."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def local_bytes(parameter: Parameter) -> int:
    """Return the bytes of a parameter in this process: its shard, and the full parameter if that is kept."""
    shard: Tensor | None = getattr(parameter, "ds_tensor", None)
    return (parameter.numel() + (shard.numel() if shard is not None else 0)) * parameter.element_size()


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise SwiftError(
            f"DeepSpeed did not prepare the requested ZeRO stage: {reason}",
            code="PARALLEL-011",
            where="parallel",
            hint="Please report this.",
        )
