"""That ZeRO is ZeRO: engine, stage and what a process holds, looked at after preparation. Libraries fall back to DDP in silence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swift_core.errors import SwiftError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

_ALIGNMENT = 256  # elements that a group of parameters may be filled up by, a process
_FLOAT32 = 4
_STATES = 2  # AdamW's means of gradients and of their squares


def verify_sharding(engine: Any, stage: int, ranks: int) -> dict[str, Any]:
    """Check what was prepared, and return it for the run's record.

    Raises:
        SwiftError: it is not ZeRO of that stage.
    """
    from deepspeed import DeepSpeedEngine
    from deepspeed.runtime.zero.stage3 import DeepSpeedZeroOptimizer_Stage3
    from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer

    zero = engine.optimizer
    _require(type(engine) is DeepSpeedEngine, f"the engine is {type(engine).__name__}")
    _require(engine.zero_optimization_stage() == stage, f"the stage is {engine.zero_optimization_stage()}, not {stage}")
    _require(
        isinstance(zero, DeepSpeedZeroOptimizer_Stage3 if stage == 3 else DeepSpeedZeroOptimizer), f"it steps by {type(zero).__name__}"
    )
    _require(stage == 3 or zero.partition_gradients == (stage == 2), "gradients are cut otherwise than the stage says")
    parameters = list(engine.module.parameters())
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    master = sum(tensor.numel() for tensor in masters(zero))
    whole = sum(map(size, learned))
    slack = len(learned) + _ALIGNMENT * len(masters(zero))
    _require(whole <= master * ranks <= whole + slack * ranks, f"a process steps {master:,} of {whole:,} weights, with {ranks} processes")
    if stage == 3 and ranks > 1:
        uncut = [parameter for parameter in parameters if parameter.ds_tensor.numel() * ranks >= size(parameter) + ranks]  # type: ignore[attr-defined]
        _require(not uncut, f"{len(uncut)} weights are not cut")
    return {
        "engine": type(engine).__name__,
        "optimizer": f"{type(zero).__name__} over {type(zero.optimizer).__name__}",
        "stage": stage,
        "processes": ranks,
        "learned": whole,
        "weight_bytes": sum(map(held, parameters)),
        "model_bytes": sum(size(parameter) * parameter.element_size() for parameter in parameters),
        "optimizer_bytes": master * _FLOAT32 * (1 + _STATES),
    }


def masters(zero: Any) -> Sequence[Tensor]:
    """The process's own part of the learned weights in float32, a tensor a group."""
    found: Sequence[Tensor] = (
        zero.fp32_partitioned_groups_flat if hasattr(zero, "fp32_partitioned_groups_flat") else (zero.single_partition_of_fp32_groups)
    )
    return found


def size(parameter: Parameter) -> int:
    """Elements of the whole parameter, cut or not."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def held(parameter: Parameter) -> int:
    """Bytes of a parameter in this process: its part, and the whole where that is kept."""
    part: Tensor | None = getattr(parameter, "ds_tensor", None)
    return (parameter.numel() + (part.numel() if part is not None else 0)) * parameter.element_size()


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SwiftError(f"DeepSpeed did not prepare what was asked for: {otherwise}", where="parallel", hint="Please report this.")
