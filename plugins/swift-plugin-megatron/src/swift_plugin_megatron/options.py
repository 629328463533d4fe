"""Options of megatron: into how many parts each thing is cut. What is left of the processes are copies (data parallelism)."""

from __future__ import annotations

from swift_train.options import StrategyOptions

from swift_core.options.model import option


class MegatronOptions(StrategyOptions):
    """Sizes; their product divides the processes."""

    tensor: int = option(
        1, "Processes over which each layer is cut (tensor parallelism).", ge=1, also=("tensor_model_parallel_size", "tensor_parallel_size")
    )
    sequence: bool = option(
        False,
        "Cut what is kept between the parts of a layer too, by tokens, over the processes that share it.",
        also=("sequence_parallel",),
    )
    context: int = option(
        1, "Processes that compute the same rows together, each a part of the tokens: for rows that are long.", ge=1,
        also=("context_parallel_size", "cp_size"),
    )  # fmt: skip
    pipeline: int = option(
        1,
        "Processes over which the layers are placed one after the other (pipeline parallelism).",
        ge=1,
        also=("pipeline_model_parallel_size", "pipeline_parallel_size"),
    )
    chunks: int = option(
        1,
        "Stretches of layers that each process of a pipeline has, in turn with the others (interleaving): less waiting, more sending.",
        ge=1,
        also=("num_virtual_stages_per_pipeline_rank", "virtual_pipeline_model_parallel_size"),
    )
    expert: int = option(
        1,
        "Processes of a stage over which the experts of a mixture are dealt out (expert parallelism).",
        ge=1,
        also=("expert_model_parallel_size",),
    )
    distributed_optimizer: bool = option(
        False,
        "Keep the optimizer's state of each weight on one of its copies alone, which steps it for all.",
        also=("use_distributed_optimizer",),
    )
