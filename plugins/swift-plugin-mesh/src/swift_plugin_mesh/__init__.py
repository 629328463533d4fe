"""Data, context, tensor and pipeline parallelism on a device mesh, with torch's own DTensor, `fully_shard` and pipelining."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import FlagFor, ParallelSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run, Settings, VerbSpec


@hookimpl
def swift_parallel() -> list[ParallelSpec]:
    """Register the strategy `mesh`; its options give the size of each kind of parallelism."""
    return [
        ParallelSpec(
            name="mesh",
            summary="Device mesh of data, context, tensor and pipeline parallelism, natively in torch",
            factory=Ref("swift_plugin_mesh.strategy:mesh_strategy"),
            options=Ref("swift_plugin_mesh.options:MeshOptions"),
            shards=True,
            flags=(FlagFor("sequence_parallel_size", "context", yields=True),),
        )
    ]


@hookimpl
def swift_settings(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterable[str]:
    """Leave the attention to context parallelism, which has its own, where a flash attention is asked for."""
    asked = str(settings.given("attention") or "")
    if "parallel" not in verb.parts or not asked.startswith(("flash_attn", "flash_attention", "fa")):
        return []
    if settings.given("parallel") != "mesh" or str(settings.given("parallel.context") or 1) == "1":
        return []
    settings.set("attention", "auto")
    return [f"--attention {asked} has no effect: context parallelism computes attention over the processes in its own way"]


@hookimpl
def swift_check(run: Run) -> Iterable[Problem]:
    """Report what a mesh does not support, before anything is loaded."""
    if "parallel" not in run.parts or run.parts["parallel"].name != "mesh":
        return []
    from swift_plugin_mesh.check import problems

    return problems(run)
