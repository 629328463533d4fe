"""megatron-core in the training loop: tensor, sequence, context, pipeline, expert and data parallelism."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, ParallelSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run

# 0.17 and later declare Python >= 3.12; the wheel of 0.19.2 also works on 3.11, installed with pip's --ignore-requires-python
ENGINES = (Engine(python=">=3.12", requirements=("megatron-core>=0.17", "triton>=3")),)


@hookimpl
def swift_parallel() -> list[ParallelSpec]:
    """Register the strategy `megatron`; its options give the size of each kind of parallelism."""
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
    """Report what the strategy does not support, before anything is loaded."""
    if "parallel" not in run.parts or run.parts["parallel"].name != "megatron":
        return ()
    from swift_plugin_megatron.check import problems

    return problems(run)
