"""DeepSpeed's JSON configuration: its known keys, and the configuration that the engine gets.

The training loop owns accumulation, learning rate schedule, gradient clipping and checkpoints. The engine therefore gets an accumulation of
one step, and neither an optimizer nor a scheduler of its own; it controls sharding, offload and precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swift_plugin_deepspeed.options import ZeroOptions

# the run has these too; `swift_plugin_deepspeed.check` checks that both agree
SHARED = (
    "train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping", "optimizer", "scheduler",
)  # fmt: skip
PASSED_ON = (
    "zero_optimization", "fp16", "bf16", "communication_data_type", "prescale_gradients", "gradient_predivide_factor", "disable_allgather",
    "zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer", "aio", "steps_per_print", "wall_clock_breakdown", "memory_breakdown",
    "dump_state", "flops_profiler", "comms_logger", "tensorboard", "wandb", "csv_monitor", "comet", "log_level", "disable_python_gc",
)  # fmt: skip
REFUSED: Mapping[str, str] = {
    "activation_checkpointing": "it affects only models that call DeepSpeed's checkpoint function; use --gradient-checkpointing",
    "amp": "DeepSpeed has removed it; use fp16 or bf16",
    "autotuning": "it starts further runs",
    "checkpoint": "the training loop writes checkpoints (--save-steps)",
    "compile": "use --compile",
    "compression_training": "DeepSpeed has removed it",
    "curriculum_learning": "the training loop controls the order of the rows",
    "data_efficiency": "the training loop controls the order of the rows",
    "data_types": "gradients are accumulated in the type of the weights",
    "elasticity": "DeepSpeed has removed it",
    "expert_parallel": "it is not supported",
    "gradient_allreduce_op": "the training loop expects averaged gradients",
    "hybrid_engine": "it is not supported",
    "managed_gradient_accumulation": "the training loop controls gradient accumulation",
    "pipeline": "it is not supported",
    "sequence_parallel_size": "it is not supported",
    "tensor_parallel": "it is not supported",
    "torch_autocast": "use fp16 or bf16",
    "weight_quantization": "it is not supported",
}


def precision_of(options: ZeroOptions) -> str | None:
    """Return the compute type that the file enables (`bfloat16`, `float16`); None if it leaves it to the model."""
    if options.configured("bf16", "enabled") is True:
        return "bfloat16"
    return "float16" if options.configured("fp16", "enabled") is True else None


def engine_config(options: ZeroOptions, precision: str, hidden: int | None = None) -> dict[str, Any]:
    """Return the configuration for `deepspeed.initialize`.

    Args:
        precision: compute type of the passes: float32, bfloat16, float16.
        hidden: the model's hidden size; bucket sizes that are `auto` or absent are derived from it, as in transformers.
    """
    given: Mapping[str, Any] = options.config if isinstance(options.config, dict) else {}
    config = {key: given[key] for key in PASSED_ON if key in given and key not in ("fp16", "bf16")}
    for section, kind in (("fp16", "float16"), ("bf16", "bfloat16")):
        config[section] = {**_without_auto(given.get(section, {})), "enabled": precision == kind}
    zero = _without_auto(given.get("zero_optimization", {}))
    config["zero_optimization"] = {**_bucket_sizes(hidden, options.stage), **zero, **_offload(options, zero), "stage": options.stage}
    return {
        "steps_per_print": 1 << 60,
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,  # which optimizers are right on flat shards is checked before the run
        **config,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
    }


def _offload(options: ZeroOptions, zero: Mapping[str, Any]) -> dict[str, Any]:
    offloaded = {"offload_optimizer": options.offload_optimizer, "offload_param": getattr(options, "offload_weights", False)}
    return {key: {"device": "cpu", **zero.get(key, {})} for key, enabled in offloaded.items() if enabled}


def _bucket_sizes(hidden: int | None, stage: int) -> dict[str, int]:
    if hidden is None:
        return {}
    sizes = {"reduce_bucket_size": hidden * hidden}
    if stage == 3:
        sizes |= {"stage3_prefetch_bucket_size": int(0.9 * hidden * hidden), "stage3_param_persistence_threshold": 10 * hidden}
    return sizes


def _without_auto(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if value != "auto"}
