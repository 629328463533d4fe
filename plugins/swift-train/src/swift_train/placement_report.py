"""Report how a strategy has placed the parameters. Libraries silently fall back to something else, with the same losses and none of the
memory savings, so placement is measured on the built model and recorded with every run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.distributed.tensor import DTensor

from swift_core.system import write_json

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_train.kernels import UsedKernels
    from swift_train.row_comparison import Isolation
    from swift_train.strategy import Strategy


def measure_placement(engine: Module) -> dict[str, Any]:
    """Measure how a module's parameters are placed: a DTensor by its placements and local shard, any other parameter as whole.

    Returns:
        For the run record: `engine` (its class), `trainable` (number of trainable weights), `weight_bytes` (in this process), `model_bytes`
        (of the whole model), `placements` (number of parameters per placement).
    """
    placements: Counter[str] = Counter()
    here = whole = trainable = 0
    for parameter in engine.parameters():
        local = parameter.to_local() if isinstance(parameter, DTensor) else parameter
        placements[placement(parameter)] += 1
        here += local.numel() * local.element_size()
        whole += parameter.numel() * parameter.element_size()
        trainable += parameter.numel() if parameter.requires_grad else 0
    return {
        "engine": type(engine).__name__,
        "trainable": trainable,
        "weight_bytes": here,
        "model_bytes": whole,
        "placements": dict(sorted(placements.items())),
    }


def placement(parameter: Any) -> str:
    """Return a parameter's DTensor placements as text, such as `Shard(dim=0)`; `whole` if it is not a DTensor."""
    return " ".join(map(str, parameter.placements)) if isinstance(parameter, DTensor) else "whole"


def write_report(strategy: Strategy, name: str, isolation: Isolation, kernels: UsedKernels, folder: Path) -> None:
    """Write `parallel.json` into the run folder: placement, maximum weight bytes of a process, row isolation, kernels. Collective."""
    maximum = int(strategy.reduce(float(strategy.placement["weight_bytes"]), "max"))
    if strategy.writer:
        record = {"strategy": name, **strategy.placement, "max_weight_bytes": maximum, "rows": isolation.to_json()}
        write_json(folder / "parallel.json", {**record, "kernels": kernels.to_json()})
