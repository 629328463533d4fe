"""Processes as a mesh of data × context × tensor × pipeline, by torch's own DTensor, fully_shard and pipelining, on CPUs and GPUs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.specs import ParallelSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.run import Run


@hookimpl
def swift_parallel_strategies() -> list[ParallelSpec]:
    """One strategy; which kinds of parallelism there are, its sizes say."""
    return [
        ParallelSpec(
            name="mesh",
            summary="Layers cut over processes (tensor), blocks dealt out (pipeline), rows (data) and their tokens (context) too",
            factory=Ref("swift_plugin_mesh.strategy:mesh_strategy"),
            options=Ref("swift_plugin_mesh.options:MeshOptions"),
            shards=True,
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterable[Problem]:
    """What a mesh can't do, said before anything is loaded."""
    if "parallel" not in run.parts or run.parts["parallel"].name != "mesh":
        return []
    from swift_plugin_mesh.check import problems

    return problems(run)
