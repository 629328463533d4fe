"""Megatron-core: layers cut over processes (tensor), placed on processes one after the other (pipeline), and copied (data)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract.specs import Engine, ParallelSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract.run import Run

# 0.17 and later declare Python >= 3.12; the wheel of 0.19.2 for 3.11 works where pip is told --ignore-requires-python
ENGINES = (Engine(python=">=3.12", requirements=("megatron-core>=0.17", "triton>=3")),)


@hookimpl
def swift_parallel_strategies() -> list[ParallelSpec]:
    """One strategy; sizes are its options, and what they leave of the processes are copies."""
    return [
        ParallelSpec(
            name="megatron",
            summary="Tensor, sequence, context, pipeline and expert parallelism on megatron-core",
            also=("mcore", "megatron-core"),
            factory=Ref("swift_plugin_megatron.strategy:MegatronStrategy"),
            options=Ref("swift_plugin_megatron.options:MegatronOptions"),
            engines=ENGINES,
            shards=True,
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterable[Problem]:
    """What can't be cut so, said before anything is loaded."""
    if "parallel" not in run.parts or run.parts["parallel"].name != "megatron":
        return ()
    from swift_plugin_megatron.check import problems

    return problems(run)
