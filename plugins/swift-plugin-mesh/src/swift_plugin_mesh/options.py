"""Options of a mesh: how many processes share what."""

from __future__ import annotations

from typing import Literal

from swift_train.options import StrategyOptions

from swift_core.options import option


class MeshOptions(StrategyOptions):
    """data × context × tensor × pipeline is the number of processes."""

    data: int | None = option(
        None, "Parts into which the rows of a step are cut; by default as many as the processes allow.", ge=1, also=("data_parallel_size",)
    )
    tensor: int = option(
        1, "Processes that compute each layer together, each with a part of its weights.", ge=1, also=("tensor_parallel_size", "tp_size")
    )
    context: int = option(
        1, "Processes that compute the same rows together, each a part of the tokens: for rows that are long.", ge=1,
        also=("context_parallel_size", "cp_size", "sequence_parallel_size"),
    )  # fmt: skip
    pipeline: int = option(
        1, "Stages into which the blocks are cut, one after the other.", ge=1, also=("pipeline_parallel_size", "pp_size")
    )
    schedule: Literal["1f1b", "gpipe"] = option(
        "1f1b", "Order of a pipeline's passes: each backward pass as soon as it can be (1f1b), or all forward passes first (gpipe)."
    )
