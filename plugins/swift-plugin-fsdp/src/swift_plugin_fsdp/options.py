"""Options of the strategy `fsdp`."""

from __future__ import annotations

from typing import Literal

from swift_train.options import StrategyOptions

from swift_core.options import Names, option


class FsdpOptions(StrategyOptions):
    """Options of sharding."""

    shard_size: int | None = option(
        None,
        "Processes per model replica; by default all. A smaller number shards within groups and replicates across them (hybrid sharding).",
        ge=1,
        also=("fsdp_size",),
    )
    reshard_after_forward: bool = option(
        True,
        "Free a block's gathered weights after its forward pass and gather them again for the backward pass; false keeps them.",
        also=("fsdp_reshard_after_forward",),
    )
    wrap: Names = option(
        list,
        "Module classes to shard as units, each gathered on its own; by default the model's blocks (decoder layers).",
        also=("fsdp_transformer_layer_cls_to_wrap",),
    )
    reduce_dtype: Literal["float32", "bfloat16"] = option("float32", "Data type of the gradient reduction across processes.")
    offload: bool = option(
        False,
        "CPU offload: keep weights, gradients and optimizer state in main memory and step there; requires an accelerator.",
        also=("cpu_offload", "fsdp_offload_params"),
    )
