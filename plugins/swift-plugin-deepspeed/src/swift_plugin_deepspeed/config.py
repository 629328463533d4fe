"""DeepSpeed's JSON configuration: which of its keys there are, and what the engine is given of them.

The training loop counts micro-batches, schedules the rate, clips and saves; the engine therefore sees micro-batches of one step, no
optimizer and no scheduler of its own. What is left is how state is cut, moved and rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swift_plugin_deepspeed.options import ZeroOptions

# the run has these too; `swift_plugin_deepspeed.check` sees that both say the same
SHARED = (
    "train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping", "optimizer", "scheduler",
)  # fmt: skip
PASSED_ON = (
    "zero_optimization", "fp16", "bf16", "communication_data_type", "prescale_gradients", "gradient_predivide_factor", "disable_allgather",
    "zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer", "aio", "steps_per_print", "wall_clock_breakdown", "memory_breakdown",
    "dump_state", "flops_profiler", "comms_logger", "tensorboard", "wandb", "csv_monitor", "comet", "log_level", "disable_python_gc",
)  # fmt: skip
REFUSED: Mapping[str, str] = {
    "activation_checkpointing": "it acts only on models that call DeepSpeed's own function; use --gradient-checkpointing",
    "amp": "DeepSpeed has removed it; use fp16 or bf16",
    "autotuning": "it starts runs of its own",
    "checkpoint": "checkpoints are written by the run (--save-steps)",
    "compile": "use --compile",
    "compression_training": "DeepSpeed has removed it",
    "curriculum_learning": "the order of the rows is the run's",
    "data_efficiency": "the order of the rows is the run's",
    "data_types": "sums of gradients have the type of the weights here",
    "elasticity": "DeepSpeed has removed it",
    "expert_parallel": "it is not supported here",
    "gradient_allreduce_op": "gradients are averaged",
    "hybrid_engine": "it is not supported here",
    "managed_gradient_accumulation": "micro-steps are counted by the run",
    "pipeline": "it is not supported here",
    "sequence_parallel_size": "it is not supported here",
    "tensor_parallel": "it is not supported here",
    "torch_autocast": "use fp16 or bf16",
    "weight_quantization": "it is not supported here",
}


def precision_of(options: ZeroOptions) -> str | None:
    """The type that the file asks the passes to be computed in; None where it leaves that to the model."""
    if options.said("bf16", "enabled") is True:
        return "bfloat16"
    return "float16" if options.said("fp16", "enabled") is True else None


def engine_config(options: ZeroOptions, precision: str, hidden: int | None = None) -> dict[str, Any]:
    """What `deepspeed.initialize` is given.

    Args:
        precision: what the passes are computed in: float32, bfloat16, float16.
        hidden: the model's hidden size, by which bucket sizes that are `auto`, or not given, are set as transformers sets them.
    """
    said: Mapping[str, Any] = options.config if isinstance(options.config, dict) else {}
    config = {key: said[key] for key in PASSED_ON if key in said and key not in ("fp16", "bf16")}
    for section, kind in (("fp16", "float16"), ("bf16", "bfloat16")):
        config[section] = {**_without_auto(said.get(section, {})), "enabled": precision == kind}
    zero = _without_auto(said.get("zero_optimization", {}))
    config["zero_optimization"] = {**_sizes(hidden, options.stage), **zero, **_offload(options, zero), "stage": options.stage}
    return {
        "steps_per_print": 1 << 60,
        "zero_force_ds_cpu_optimizer": False,
        **config,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
    }


def _offload(options: ZeroOptions, zero: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {"offload_optimizer": options.offload_optimizer, "offload_param": getattr(options, "offload_weights", False)}
    return {key: {"device": "cpu", **zero.get(key, {})} for key, yes in wanted.items() if yes}


def _sizes(hidden: int | None, stage: int) -> dict[str, int]:
    if hidden is None:
        return {}
    sizes = {"reduce_bucket_size": hidden * hidden}
    if stage == 3:
        sizes |= {"stage3_prefetch_bucket_size": int(0.9 * hidden * hidden), "stage3_param_persistence_threshold": 10 * hidden}
    return sizes


def _without_auto(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if value != "auto"}
