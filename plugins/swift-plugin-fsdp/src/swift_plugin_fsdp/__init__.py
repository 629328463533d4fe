"""FSDP2 (torch's `fully_shard`): weights, gradients and optimizer state sharded over the processes, on CPUs and GPUs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import ParallelSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run


@hookimpl
def swift_parallel() -> list[ParallelSpec]:
    """Register the strategy `fsdp`; hybrid sharding is one of its options."""
    return [
        ParallelSpec(
            name="fsdp",
            summary="FSDP2: weights, gradients and optimizer state sharded over the processes",
            also=("fsdp2", "full_shard"),
            factory=Ref("swift_plugin_fsdp.strategy:FsdpStrategy"),
            options=Ref("swift_plugin_fsdp.options:FsdpOptions"),
            shards=True,
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterable[Problem]:
    """Report what fsdp does not support, before anything is loaded."""
    if "parallel" not in run.parts or run.parts["parallel"].name != "fsdp":
        return []
    from swift_plugin_fsdp.check import problems

    return problems(run)
