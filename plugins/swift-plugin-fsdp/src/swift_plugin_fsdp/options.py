"""Options of fsdp."""

from __future__ import annotations

from typing import Literal

from swift_train.options import StrategyOptions

from swift_core.options import Names, option


class FsdpOptions(StrategyOptions):
    """How the model is cut."""

    shard_size: int | None = option(
        None,
        "Processes over which one copy of the model is cut; by default all. With fewer there are several copies (hybrid sharding).",
        ge=1,
        also=("fsdp_size",),
    )
    reshard_after_forward: bool = option(
        True,
        "Let go of a block's weights after the forward pass and fetch them again for the backward pass; else they are kept until then.",
        also=("fsdp_reshard_after_forward",),
    )
    wrap: Names = option(
        list,
        "Classes of modules that are fetched one at a time; by default the model's blocks.",
        also=("fsdp_transformer_layer_cls_to_wrap",),
    )
    reduce_dtype: Literal["float32", "bfloat16"] = option("float32", "Type in which gradients are added up over the processes.")
    offload: bool = option(
        False,
        "Keep weights, gradients and optimizer state in main memory, and step there. Needs an accelerator.",
        also=("cpu_offload", "fsdp_offload_params"),
    )
