"""The names of the command `megatron` (those of ms-swift and Megatron-LM): which option of swift each is, and what needs no counterpart."""

from __future__ import annotations

from collections.abc import Mapping

VERBS: Mapping[str, str] = {"sft": "sft", "pt": "pretrain", "pretrain": "pretrain", "rlhf": "rlhf", "export": "export"}

RENAMED: Mapping[str, str] = {
    "lr": "learning_rate", "micro_batch_size": "batch_size", "train_iters": "max_steps", "max_epochs": "epochs",
    "lr_warmup_fraction": "warmup_ratio", "lr_warmup_iters": "warmup_steps", "lr_decay_style": "schedule", "load": "model",
    "mcore_model": "model", "mcore_adapter": "adapter", "mcore_adapters": "adapter", "save": "output", "save_interval": "save_steps",
    "eval_interval": "eval_steps", "log_interval": "logging_steps", "clip_grad": "max_grad_norm", "seq_length": "max_length",
    "no_save_optim": "save_only_model", "recompute_granularity": "gradient_checkpointing", "use_ray": "launcher",
}  # fmt: skip

VALUES: Mapping[str, Mapping[str, str]] = {
    "lr_decay_style": {"WSD": "wsd", "inverse-square-root": "inverse-sqrt"},
    "use_ray": {"true": "ray"},
    "recompute_granularity": {"full": "true", "none": "false", "selective": "false"},
}

_SPEED = "it changes speed and memory only"
_KERNEL = "layers are computed by megatron-core's local specification and torch's attention"
_RECOMPUTED = "with --gradient-checkpointing, each decoder layer is recomputed"
_STATE = "the optimizer state is float32, on the device of the weights"

IGNORED: Mapping[str, str] = {
    **dict.fromkeys(("recompute_method", "recompute_num_layers", "recompute_modules"), _RECOMPUTED),
    **dict.fromkeys(("attention_backend", "cross_entropy_loss_fusion", "cross_entropy_fusion_impl", "masked_softmax_fusion"), _KERNEL),
    **dict.fromkeys(("moe_permute_fusion", "moe_grouped_gemm", "moe_shared_expert_overlap", "gradient_accumulation_fusion"), _KERNEL),
    **dict.fromkeys(("bias_dropout_fusion", "bias_swiglu_fusion", "apply_rope_fusion", "moe_token_dispatcher_type"), _KERNEL),
    **dict.fromkeys(("transformer_impl", "moe_enable_deepep", "use_flash_attn", "linear_decoupled_in_proj", "moe_router_dtype"), _KERNEL),
    **dict.fromkeys(("overlap_grad_reduce", "overlap_param_gather", "overlap_p2p_comm", "tp_comm_overlap", "manual_gc"), _SPEED),
    **dict.fromkeys(("manual_gc_interval", "offload_bridge", "align_grad_reduce", "no_initialization", "check_model"), _SPEED),
    **dict.fromkeys(("async_save", "use_persistent_ckpt_worker", "ckpt_format", "sequence_parallel=false", "logprobs_temperature"), _SPEED),
    **dict.fromkeys(("optimizer_cpu_offload", "optimizer_offload_fraction", "use_precision_aware_optimizer"), _STATE),
    **dict.fromkeys(("main_grads_dtype", "main_params_dtype", "exp_avg_dtype", "exp_avg_sq_dtype"), _STATE),
    "finetune": "training starts from the checkpoint's weights, with a new optimizer",
    "no_load_optim": "training starts from the checkpoint's weights, with a new optimizer",
    "no_load_rng": "training starts from the checkpoint's weights, with a new optimizer",
    "no_save_rng": "the random states are a part of the training state: --save-only-model leaves out all of it",
    "eval_iters": "all held-out rows are evaluated",
    "save_safetensors": "results are Hugging Face checkpoints",
    "use_mcore_models": "megatron-core is always used",
    "expert_tensor_parallel_size=1": "experts are never sharded by tensor parallelism",
    "moe_router_load_balancing_type=aux_loss": "it is the type of --moe_aux_loss_coeff",
    "moe_router_load_balancing_type=none": "without --moe_aux_loss_coeff the router learns from the loss of the task alone",
    "vit_gradient_checkpointing": "only text is trained",
    "tensorboard_dir": "each run has its own folder in --runs, with metrics.jsonl and report.html",
    "test_convert_precision": "every result is verified against its source, and its checks are written to the report",
    "model_kwargs={}": _SPEED,
    "use_ray=false": "without it, processes are started on this machine",
    "colocate_groups": "answers are sampled by the engine of --rollout, which has its own process",
    "test_convert_dtype": "every result is verified against its source, and its checks are written to the report",
    "group_by_length=false": _SPEED,
    "fp8_param_gather": "weights are kept in float32 and rounded for each product: it changes memory only",
    "load_data_args=false": _SPEED,
}

REFUSED: Mapping[str, str] = {
    "moe_router_load_balancing_type": "Only aux_loss balances the load of experts, with the weight --moe_aux_loss_coeff.",
    "moe_pad_expert_input_to_capacity": "Experts compute the tokens that they get, without padding: leave it out.",
    "mtp_num_layers": "Heads that predict several tokens are not trained: leave it out.",
    "expert_tensor_parallel_size": "Experts are never sharded by tensor parallelism: leave it out, and use --expert_model_parallel_size.",
    "account_for_embedding_in_pipeline_split": "Give the first stage fewer layers: --decoder_first_pipeline_num_layers N.",
    "account_for_loss_in_pipeline_split": "Give the last stage fewer layers: --decoder_last_pipeline_num_layers N.",
    "to_mcore": "Write --to_mcore true or --to_hf true with --model, or --merge_lora true with --adapters.",
    "to_hf": "Write --to_mcore true or --to_hf true with --model, or --merge_lora true with --adapters.",
}
