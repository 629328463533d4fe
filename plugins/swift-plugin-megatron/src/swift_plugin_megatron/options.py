"""Options of the strategy `megatron`: the size of each kind of parallelism. The remaining processes are data-parallel replicas."""

from __future__ import annotations

from swift_train.options import StrategyOptions

from swift_core.options import option


class MegatronOptions(StrategyOptions):
    """Parallel sizes; tensor × context × pipeline must divide the number of processes."""

    tensor: int = option(
        1,
        "Tensor-parallel size: processes that share the weights of each layer.",
        ge=1,
        also=("tensor_model_parallel_size", "tensor_parallel_size"),
    )
    sequence: bool = option(
        False,
        "Sequence parallelism: also shard the activations between layers by tokens, over the tensor-parallel processes.",
        also=("sequence_parallel",),
    )
    context: int = option(
        1, "Context-parallel size: processes that share the tokens of each row, for long rows.", ge=1,
        also=("context_parallel_size", "cp_size"),
    )  # fmt: skip
    pipeline: int = option(
        1,
        "Pipeline-parallel size: processes that share the layers, each with consecutive ones.",
        ge=1,
        also=("pipeline_model_parallel_size", "pipeline_parallel_size"),
    )
    chunks: int = option(
        1,
        "Interleaved pipeline stages per process (virtual pipeline): smaller bubbles, more communication.",
        ge=1,
        also=("num_virtual_stages_per_pipeline_rank", "virtual_pipeline_model_parallel_size"),
    )
    first_stage_layers: int | None = option(
        None, "Layers of the first pipeline stage, which also has the embedding; default: as many as any other.", ge=1,
        also=("decoder_first_pipeline_num_layers", "num_layers_in_first_pipeline_stage"),
    )  # fmt: skip
    last_stage_layers: int | None = option(
        None, "Layers of the last pipeline stage, which also has the head; default: as many as any other.", ge=1,
        also=("decoder_last_pipeline_num_layers", "num_layers_in_last_pipeline_stage"),
    )  # fmt: skip
    expert: int = option(
        1,
        "Expert-parallel size: processes of a pipeline stage that the experts of a layer are distributed over.",
        ge=1,
        also=("expert_model_parallel_size",),
    )
    router_loss: float = option(
        0.0,
        "Weight of megatron-core's load-balancing loss of each layer's router (Switch Transformer); only in the gradient, not in the "
        "reported loss.",
        ge=0,
        also=("moe_aux_loss_coeff", "moe_aux_loss_coef"),
    )
    router_z_loss: float = option(
        0.0, "Weight of the loss that keeps the router's logits small (ST-MoE); only in the gradient.", ge=0, also=("moe_z_loss_coeff",)
    )
    expert_capacity: float | None = option(
        None,
        "Capacity of an expert, as a multiple of its even share of the tokens: it drops the least probable ones above; null: no limit.",
        gt=0,
        also=("moe_expert_capacity_factor",),
    )
    distributed_optimizer: bool = option(
        False,
        "Shard the optimizer state over the replicas (ZeRO-1): each replica updates a subset of the weights and broadcasts them.",
        also=("use_distributed_optimizer",),
    )
