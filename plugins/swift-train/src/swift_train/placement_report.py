"""That a strategy is what it says: where the parameters are after it was built. Libraries fall back to something else in silence,
with the same losses and none of the saving, so this is measured on the model itself and kept with every run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.distributed.tensor import DTensor

from swift_core.system.paths import write_json

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_train.row_isolation import Isolation
    from swift_train.strategy import Strategy


def measure_placement(engine: Module) -> dict[str, Any]:
    """Measure a module: DTensors by their own placements and local part, every other parameter as whole.

    Returns:
        For the run's record: `engine` (its class), `learned` (numbers that learn), `weight_bytes` (of this process), `model_bytes` (of the
        whole model), `placements` (how many parameters lie in which way).
    """
    placements: Counter[str] = Counter()
    here = whole = learned = 0
    for parameter in engine.parameters():
        local = parameter.to_local() if isinstance(parameter, DTensor) else parameter
        placements[placement(parameter)] += 1
        here += local.numel() * local.element_size()
        whole += parameter.numel() * parameter.element_size()
        learned += parameter.numel() if parameter.requires_grad else 0
    return {
        "engine": type(engine).__name__,
        "learned": learned,
        "weight_bytes": here,
        "model_bytes": whole,
        "placements": dict(sorted(placements.items())),
    }


def placement(parameter: Any) -> str:
    """How a parameter lies over the processes, as DTensor says it: `Shard(dim=0)`; `whole` where it is no DTensor."""
    return " ".join(map(str, parameter.placements)) if isinstance(parameter, DTensor) else "whole"


def write_report(strategy: Strategy, name: str, isolation: Isolation, folder: Path) -> None:
    """Keep a strategy's `proof` in the run folder, with the most bytes of weights that a process has, and how rows go. Collective."""
    most = int(strategy.reduce(float(strategy.placement["weight_bytes"]), "max"))
    if strategy.writer:
        write_json(
            folder / "parallel.json", {"strategy": name, **strategy.placement, "weight_bytes_most": most, "rows": isolation.to_json()}
        )
