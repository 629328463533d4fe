"""Options of other training tools (ms-swift, transformers, TRL) that need no counterpart here, are several options, or are refused."""

from __future__ import annotations

from collections.abc import Mapping

from swift_data import other_tools

from swift_train.token_weight_sets import OTHER_NAMES, SETS

_LOADER = "batches are read from memory-mapped token stores, which needs no worker processes"
_EVERY_ROW = "each epoch has every row; its last step may have fewer"
_LAYOUT = "rows are computed without padding if the architecture can keep them separate"
_RUN_FOLDER = "each run has its own folder in --runs, with log.txt, metrics.jsonl and report.html"
_SPEED = "it changes speed and memory only, and is not available"
_DDP = "the strategy sets it"
_PRECISION = "it is the default"
_ROLLOUTS = "the run folder has every answer (rollouts/) and the metrics, and the report shows some"
_ENGINE = "answers are sampled by a server, the engine of --rollout"

_TURNS = {"": "", "default": "", "last_round": "mask.turns=last", "all": "mask.turns=everything"}
_WEIGHTS = {"": "", **{name: f"mask.weights={own}" for name, own in {**{each: each for each in SETS}, **OTHER_NAMES}.items()}}
LOSS_SCALES: Mapping[str, str] = {  # base strategy and weights, in either order
    f"loss_scale={'+'.join(filter(None, names))}": f"{turns} {weights}".strip()
    for base, turns in _TURNS.items()
    for name, weights in _WEIGHTS.items()
    for names in ((base, name), (name, base))
    if (turns or weights) and not (base == "all" and name)
}

SPELLINGS: Mapping[str, str] = {
    "tuner_type": "tuner", "train_type": "tuner", "sft_type": "tuner", "finetuning_type": "tuner", "deepspeed": "parallel",
    "fsdp": "parallel", "quant_method": "quantizer", "quantization_method": "quantizer", "optim": "optimizer", "rlhf_type": "task",
    "max_epochs": "epochs", "deepspeed=zero0": "parallel=ddp", "deepspeed=default-zero0": "parallel=ddp",
    "bf16=true": "dtype=bfloat16", "fp16=true": "dtype=float16", "use_peft=true": "tuner=lora", "use_peft=false": "tuner=full",
    "load_in_4bit=true": "quantizer=bnb quantizer.bits=4", "load_in_8bit=true": "quantizer=bnb quantizer.bits=8",
    "use_dft_loss=true": "loss_type=dft", "use_asft_loss=true": "loss_type=asft",
    "template=default": "chat_template=human-assistant",
    "template=chatml": "chat_template=chatml", "template_type=chatml": "chat_template=chatml",
    "enable_dft_loss=true": "loss_type=dft", "use_eaft_loss=true": "loss_type=eaft",
    "init_weights=lora-ga": "tuner.init=lora_ga", "init_lora_weights=lora-ga": "tuner.init=lora_ga",
    "lora_ga_scale=gd": "tuner.ga_scale=gd_scale", "lora_ga_scale=weightS": "tuner.ga_scale=weight_svd",
    "use_galore=true": "optimizer=galore", "use_apollo=true": "optimizer=apollo", "use_muon=true": "optimizer=muon",
    **LOSS_SCALES,
    "use_vllm=true": "rollout=vllm", "use_gym_env=true": "reward_funcs=environment",
    "use_ray=true": "launcher=ray", "tuner_type=lora_llm": "tuner=lora tuner.full_vit=true",
    "output_router_logits=true": "router_loss=checkpoint",
    "enable_thinking=true": 'template_variables={"enable_thinking":true}',
    "enable_thinking=false": 'template_variables={"enable_thinking":false}',
}  # fmt: skip

_REFUSED_VALUES = {
    "tuner_type=dummy": "It leaves the model as it is: nothing would be trained.",
    "quant_method=hqq": "HQQ can't be saved or trained by the libraries here: use --quantizer bnb or torchao.",
    "quant_method=quanto": "Its models can't be saved: use --quantizer bnb or torchao.",
    "quant_method=eetq": "Its kernels are no longer kept up: use --quantizer bnb with 8 bits.",
    "quant_method=aqlm": "Models in AQLM's format are not supported.",
    "optim=muonclip": "Clipping of attention logits is not available: use --optimizer muon.",
    "optimizer=muonclip": "Clipping of attention logits is not available: use --optimizer muon.",
    "optimizer=dist_muon": "Use --optimizer muon; megatron's replicas can't share its state.",
}  # fmt: skip
_IDENTITY = "only the dataset identity (swift/self-cognition) uses it"

IGNORED: Mapping[str, str] = {
    **other_tools.IGNORED,
    "model_name": _IDENTITY,
    "model_author": _IDENTITY,
    **dict.fromkeys(("dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers"), _LOADER),
    **dict.fromkeys(("dataloader_prefetch_factor", "data_sharding", "lazy_tokenize=false"), _LOADER),
    **dict.fromkeys(("dataloader_drop_last", "group_by_length=false"), _EVERY_ROW),
    **dict.fromkeys(("padding_free", "padding_side", "pad_to_multiple_of", "attention_mask_in_length"), _LAYOUT),
    **dict.fromkeys(("add_version", "logging_dir", "logging_strategy", "logging_first_step", "run_name", "log_level"), _RUN_FOLDER),
    **dict.fromkeys(("disable_tqdm", "create_checkpoint_symlink", "ignore_args_error", "plot_loss"), _RUN_FOLDER),
    **dict.fromkeys(("tf32", "use_logits_to_keep", "gradient_checkpointing_kwargs"), _SPEED),
    **dict.fromkeys(("vit_gradient_checkpointing", "packing_num_proc", "torch_empty_cache_steps", "low_cpu_mem_usage"), _SPEED),
    **dict.fromkeys(("ddp_find_unused_parameters", "ddp_backend", "ddp_bucket_cap_mb", "ddp_broadcast_buffers"), _DDP),
    "save_on_each_node": "checkpoints are written once, to the run folder",
    **dict.fromkeys(("log_completions", "log_entropy", "num_completions_to_print", "log_unique_prompts"), _ROLLOUTS),
    **dict.fromkeys(("vllm_importance_sampling_correction=true", "sleep_level", "offload_model", "offload_optimizer"), _ENGINE),
    **dict.fromkeys(("vllm_mode", "vllm_enable_lora", "vllm_use_async_engine", "vllm_server_timeout"), _ENGINE),
    **dict.fromkeys(("offload_teacher_model", "teacher_deepspeed", "vllm_data_parallel_size=1"), _ENGINE),
    "local_rollout_forward_batch_size": "log-probabilities are computed in the micro-batches of the training",
    "num_sample_generations": _ROLLOUTS,
    "vllm_server_pass_dataset": "schedulers and rewards run beside the training, and have the whole row",
    "log_rollout_offpolicy_metrics": "kl_engine and masked are always logged",
    **dict.fromkeys(("use_vllm=false", "move_model_batches", "vllm_enable_prefix_caching", "async_generate=false"), _ENGINE),
    **dict.fromkeys(("bf16=false", "fp16=false", "load_in_4bit=false", "load_in_8bit=false"), _PRECISION),
    **dict.fromkeys(("do_train", "do_eval", "full_determinism=false", "use_dora=false", "use_rslora=false"), _PRECISION),
    **dict.fromkeys(("eval_on_start", "use_dft_loss=false", "use_chat_template=true"), _PRECISION),
    **dict.fromkeys(("eval_use_evalscope=false", "predict_with_generate=false", "use_galore=false", "loss_scale=default"), _PRECISION),
    "streaming=false": "rows are stored, unless --data.streaming is given",
    "lazy_tokenize=true": "rows are tokenised once, before the first step; --data.streaming tokenises them during training",
    "task_type=causal_lm": _PRECISION,
    "tuner_backend=peft": "adapters are PEFT's",
    "tuner_backend=unsloth": "it changes speed and memory only; the adapter is the same, and PEFT's",
    "use_ray=false": _PRECISION,
    "response_prefix=": "it is empty, as by default",
    "galore_optim_per_parameter": "each parameter is updated after the backward pass, which gives the same weights",
    "add_non_thinking_prefix=true": "the chat template decides what stands before an answer, as at inference",
    "loss_type=loss_scale": "tokens are always weighted by --mask.weights, and by the loss_scale of a row",
    "lora_ga_max_length": "gradients are computed of rows as they are trained",
    "label_names": "the supervised tokens follow from the rows",
    "save_safetensors=true": "checkpoints are always safetensors",
    "trust_remote_code=true": "code of a repository runs only if it is named with its revision: --trust-remote-code org/name@revision",
    "trust_remote_code=false": _PRECISION,
    "resume_only_model=false": _PRECISION,
    "ignore_data_skip=false": _PRECISION,
    "average_tokens_across_devices=true": "the loss is always averaged over the supervised tokens of all processes",
    "include_num_input_tokens_seen": "tokens are counted in metrics.jsonl",
    "check_model": "checkpoints are verified by their hashes",
    "device_map=auto": "each process uses one device: --device",
}

UNSUPPORTED: Mapping[str, str] = {
    "external_plugins": "Write swift --plugin FILE.py, or in a file plugins: [FILE.py]; it must have hooks of this program.",
    "custom_register_path": "Write swift --plugin FILE.py, or in a file plugins: [FILE.py]; it must have hooks of this program.",
    **_REFUSED_VALUES,
    "hub_token": "Set the variable HF_TOKEN or MODELSCOPE_API_TOKEN.",
    "packing_length": "Packed sequences have --max-length tokens.",
    "packing_cache": "Tokenised rows are stored in the cache folder.",
    "save_safetensors": "Checkpoints are safetensors only: pickle files can run code.",
    "task_type": "Each task is a verb: swift seq-cls, swift embedding, swift rm, swift dpo, …; see swift --help.",
    "loss_type": "This task has one loss; those of sft, pretrain, dpo and cpo have names.",
    "problem_type": "Classifiers are trained by swift seq-cls.",
    "temperature": "Nothing is generated during this training; swift grpo has it.",
    "num_labels": "Classifiers are trained by swift seq-cls.",
    "template": "The chat template of the checkpoint is used; --chat-template FILE replaces it.",
    "template_type": "The chat template of the checkpoint is used; --chat-template FILE replaces it.",
    "agent_template": "Tool calls are rendered by the checkpoint's own chat template; trainings have --agent-template hermes or react.",
    "use_chat_template": "Rows without a chat template are trained by swift pretrain.",
    "loss_scale": "Choose the supervised turns with --mask.turns all, last or everything, and weights of text with --mask.weights; "
    "rows may have a loss_scale for each message.",
    "cached_dataset": "In a file, name the rows with dataset: tokenised rows are stored, and used again by later runs.",
    "cached_val_dataset": "It belongs to --cached_dataset; else name the rows with --val-dataset.",
    "template_mode": "The task decides it: swift sft, dpo, seq-cls, ….",
    "ref_model": "The reference policy is the model before training; another one is not available.",
    "max_completion_length": "--max-length limits a prompt with its answer.",
    "max_prompt_length": "--max-length limits a prompt with its answer.",
    "eval_dataset": "Add --eval_use_evalscope true, or evaluate the result afterwards: swift eval CHECKPOINT.",
    "eval_limit": "Add --eval_use_evalscope true, or evaluate the result afterwards: swift eval CHECKPOINT.",
    "eval_dataset_args": "Add --eval_use_evalscope true, or evaluate the result afterwards: swift eval CHECKPOINT.",
    "galore_quantization": "Quantized projections are not available: use --optimizer galore, or apollo-mini.",
    "tuner_backend": "Adapters are PEFT's; leave it out.",
    "predict_with_generate": "Answers are not generated during a training: evaluate its checkpoints with --eval.",
    "train_dataloader_shuffle": "Use --no-shuffle.",
    "resume_only_model": "Start a new run from the checkpoint's model: --model RUN/checkpoints/step-N/model.",
    "neftune_noise_alpha": "Noise on the embeddings is an option of sft and pretrain.",
    "label_smoothing_factor": "Label smoothing is an option of sft, pretrain and dpo.",
    "router_aux_loss_coef": "The loss of the router is an option of sft and pretrain; other tasks train it by their own loss alone.",
    "add_non_thinking_prefix": "The chat template decides what stands before an answer: --chat-template FILE replaces it.",
    "response_prefix": "The chat template decides what stands before an answer: --chat-template FILE replaces it.",
    "metric": "The validation loss is computed; evaluate the result with swift eval.",
    "device_groups": "Ray's workers are those of --launcher ray: --processes N.",
    "device_map": "Each process uses one device: --device.",
    "reward_model": "Reward models belong to swift grpo, ppo and online-dpo.",
    "reward_model_plugin": "Serve it, and ask it in a reward function: swift grpo --reward-funcs FILE.py:FUNCTION.",
    "value_model": "The value head is on the policy's own hidden states; a second model is not available.",
    "reward_funcs": "Rewards belong to swift grpo, ppo and online-dpo.",
    "teacher_model": "Teachers belong to swift gkd.",
    "gkd_logits_topk": "A checkpoint gives its whole distribution (--teacher-model), a URL the sampled tokens.",
    "gym_env": "Name the class of the environment: --multi-turn-scheduler FILE.py:CLASS.",
    **dict.fromkeys(("fipo_decay_rate", "fipo_chunk_size"), "This variant of GRPO is not available: see --loss-type."),
    **dict.fromkeys(
        ("chord_sft_dataset", "chord_sft_per_device_train_batch_size", "chord_mu_schedule", "chord_enable_phi_function"),
        "Answers of rows and sampled ones are mixed by swift gkd --lmbda; GRPO samples all of its answers.",
    ),
    "num_generations": "Several answers to a prompt are sampled by swift grpo.",
}
