"""Options of the strategy `mesh`: the size of each dimension of the device mesh."""

from __future__ import annotations

from typing import Literal

from swift_train.options import StrategyOptions

from swift_core.options import option


class MeshOptions(StrategyOptions):
    """Mesh sizes; data × context × tensor × pipeline is the number of processes."""

    data: int | None = option(
        None,
        "Data-parallel size: replicas that share the rows of a step; by default, processes / (context × tensor × pipeline).",
        ge=1,
        also=("data_parallel_size",),
    )
    tensor: int = option(
        1,
        "Tensor-parallel size: processes that share the weights of each layer.",
        ge=1,
        also=("tensor_parallel_size", "tp_size"),
    )
    context: int = option(
        1, "Context-parallel size: processes that share the tokens of each row, for long rows.", ge=1,
        also=("context_parallel_size", "cp_size", "sequence_parallel_size"),
    )  # fmt: skip
    pipeline: int = option(
        1,
        "Pipeline-parallel size: stages that share the blocks (decoder layers).",
        ge=1,
        also=("pipeline_parallel_size", "pp_size"),
    )
    schedule: Literal["1f1b", "gpipe"] = option(
        "1f1b", "Pipeline schedule: one forward, one backward in turn (1f1b), or all forward passes first (gpipe)."
    )
