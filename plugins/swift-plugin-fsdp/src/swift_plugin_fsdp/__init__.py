"""FSDP2: weights, gradients and optimizer state cut over the processes, by torch's fully_shard, on CPUs and GPUs alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.specs import ParallelSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.run import Run


@hookimpl
def swift_parallel_strategies() -> list[ParallelSpec]:
    """One strategy; hybrid sharding is an option of it."""
    return [
        ParallelSpec(
            name="fsdp",
            summary="Weights, gradients and optimizer state cut over the processes (FSDP2)",
            also=("fsdp2", "full_shard"),
            factory=Ref("swift_plugin_fsdp.strategy:FsdpStrategy"),
            options=Ref("swift_plugin_fsdp.options:FsdpOptions"),
            shards=True,
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterable[Problem]:
    """What fsdp can't do, said before anything is loaded."""
    if "parallel" not in run.parts or run.parts["parallel"].name != "fsdp":
        return []
    from swift_plugin_fsdp.check import problems

    return problems(run)
