"""Options of other training tools (ms-swift, transformers, TRL) that need no counterpart here, are several options, or are refused."""

from __future__ import annotations

from collections.abc import Mapping

from swift_data import other_tools

_LOADER = "batches are read from memory-mapped token stores, which needs no worker processes"
_EVERY_ROW = "each epoch has every row; its last step may have fewer"
_LAYOUT = "rows are computed without padding if the architecture can keep them separate"
_RUN_FOLDER = "each run has its own folder in --runs, with log.txt, metrics.jsonl and report.html"
_SPEED = "it changes speed and memory only, and is not available"
_DDP = "the strategy sets it"
_PRECISION = "it is the default"
_ROLLOUTS = "the run folder has every answer (rollouts/) and the metrics, and the report shows some"
_ENGINE = "answers are sampled by a server, the engine of --rollout"

SPELLINGS: Mapping[str, str] = {
    "tuner_type": "tuner", "train_type": "tuner", "sft_type": "tuner", "finetuning_type": "tuner", "deepspeed": "parallel",
    "fsdp": "parallel", "quant_method": "quantizer", "quantization_method": "quantizer", "optim": "optimizer", "rlhf_type": "task",
    "bf16=true": "dtype=bfloat16", "fp16=true": "dtype=float16", "use_peft=true": "tuner=lora", "use_peft=false": "tuner=full",
    "load_in_4bit=true": "quantizer=bnb quantizer.bits=4", "load_in_8bit=true": "quantizer=bnb quantizer.bits=8",
    "use_dft_loss=true": "loss_type=dft", "enable_dft_loss=true": "loss_type=dft", "use_eaft_loss=true": "loss_type=eaft",
    "use_galore=true": "optimizer=galore", "use_apollo=true": "optimizer=apollo", "use_muon=true": "optimizer=muon",
    "loss_scale=last_round": "mask.turns=last", "loss_scale=all": "mask.turns=everything",
    "enable_thinking=true": 'template_variables={"enable_thinking":true}',
    "enable_thinking=false": 'template_variables={"enable_thinking":false}',
}  # fmt: skip

IGNORED: Mapping[str, str] = {
    **other_tools.IGNORED,
    **dict.fromkeys(("dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers"), _LOADER),
    **dict.fromkeys(("dataloader_prefetch_factor", "data_sharding", "lazy_tokenize=false"), _LOADER),
    **dict.fromkeys(("dataloader_drop_last", "group_by_length=false"), _EVERY_ROW),
    **dict.fromkeys(("padding_free", "padding_side", "pad_to_multiple_of", "attention_mask_in_length"), _LAYOUT),
    **dict.fromkeys(("add_version", "logging_dir", "logging_strategy", "logging_first_step", "run_name", "log_level"), _RUN_FOLDER),
    **dict.fromkeys(("disable_tqdm", "create_checkpoint_symlink", "ignore_args_error", "plot_loss"), _RUN_FOLDER),
    **dict.fromkeys(("use_liger_kernel", "tf32", "use_logits_to_keep", "gradient_checkpointing_kwargs"), _SPEED),
    **dict.fromkeys(("vit_gradient_checkpointing", "packing_num_proc", "torch_empty_cache_steps", "low_cpu_mem_usage"), _SPEED),
    **dict.fromkeys(("ddp_find_unused_parameters", "ddp_backend", "ddp_bucket_cap_mb", "ddp_broadcast_buffers"), _DDP),
    "save_on_each_node": "checkpoints are written once, to the run folder",
    **dict.fromkeys(("log_completions", "log_entropy", "num_completions_to_print", "log_unique_prompts"), _ROLLOUTS),
    **dict.fromkeys(("vllm_importance_sampling_correction=true", "sleep_level", "offload_model", "offload_optimizer"), _ENGINE),
    **dict.fromkeys(("use_vllm=false", "move_model_batches", "vllm_enable_prefix_caching", "async_generate=false"), _ENGINE),
    **dict.fromkeys(("bf16=false", "fp16=false", "load_in_4bit=false", "load_in_8bit=false", "push_to_hub=false"), _PRECISION),
    **dict.fromkeys(("do_train", "do_eval", "full_determinism=false", "use_dora=false", "use_rslora=false"), _PRECISION),
    **dict.fromkeys(("eval_on_start", "use_dft_loss=false", "use_chat_template=true"), _PRECISION),
    **dict.fromkeys(("eval_use_evalscope=false", "predict_with_generate=false", "use_galore=false", "loss_scale=default"), _PRECISION),
    "streaming=false": "rows are stored, unless --data.streaming is given",
    "lazy_tokenize=true": "rows are tokenised once, before the first step; --data.streaming tokenises them during training",
    "task_type=causal_lm": _PRECISION,
    "add_non_thinking_prefix=true": "the chat template decides what stands before an answer, as at inference",
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
    "external_plugins": "Load the file as a plugin of this program: swift --plugin FILE.py sft …",
    "custom_register_path": "Load the file as a plugin of this program: swift --plugin FILE.py sft …",
    "model_name": "It belongs to the dataset identity: add --dataset identity (swift/self-cognition).",
    "model_author": "It belongs to the dataset identity: add --dataset identity (swift/self-cognition).",
    "push_to_hub": "Upload the result afterwards: swift push FOLDER hf:org/name.",
    "hub_model_id": "Upload the result afterwards: swift push FOLDER hf:org/name.",
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
    "agent_template": "Tool calls are rendered by the checkpoint's own chat template; leave it out.",
    "use_chat_template": "Rows without a chat template are trained by swift pretrain.",
    "loss_scale": "Choose the supervised turns with --mask.turns all, last or everything; rows may have a loss_scale for each message.",
    "cached_dataset": "Name the rows with --dataset: tokenised rows are stored, and used again by later runs.",
    "cached_val_dataset": "Name the rows with --val-dataset: tokenised rows are stored, and used again by later runs.",
    "ref_model": "The reference policy is the model before training; another one is not available.",
    "max_completion_length": "--max-length limits a prompt with its answer.",
    "max_prompt_length": "--max-length limits a prompt with its answer.",
    "eval_dataset": "Evaluate the result afterwards: swift eval CHECKPOINT.",
    "eval_limit": "Evaluate the result afterwards: swift eval CHECKPOINT.",
    "eval_dataset_args": "Evaluate the result afterwards: swift eval CHECKPOINT.",
    "eval_use_evalscope": "Evaluate the result afterwards: swift eval CHECKPOINT --evaluator evalscope.",
    "train_dataloader_shuffle": "Use --no-shuffle.",
    "resume_only_model": "Start a new run from the checkpoint's model: --model RUN/checkpoints/step-N/model.",
    "neftune_noise_alpha": "Noise on the embeddings is an option of sft and pretrain.",
    "use_asft_loss": "Anchored fine-tuning needs the distributions of the model before training; --loss-type dft is without the anchor.",
    "label_smoothing_factor": "Label smoothing is an option of sft, pretrain and dpo.",
    "router_aux_loss_coef": "The auxiliary loss of the router is not available; the router learns from the loss of the task alone.",
    "experts_impl": "Experts are computed as transformers computes them by default.",
    "add_non_thinking_prefix": "The chat template decides what stands before an answer: --chat-template FILE replaces it.",
    "response_prefix": "The chat template decides what stands before an answer: --chat-template FILE replaces it.",
    "metric": "The validation loss is computed; evaluate the result with swift eval.",
    "device_map": "Each process uses one device: --device.",
    "new_special_tokens": "The vocabulary can't be extended here: add the tokens to the checkpoint first.",
    "reward_model": "Serve it, and ask it in a reward function: swift grpo --reward-funcs FILE.py:FUNCTION.",
    "reward_model_plugin": "Serve it, and ask it in a reward function: swift grpo --reward-funcs FILE.py:FUNCTION.",
    "reward_funcs": "Rewards belong to swift grpo.",
    "teacher_model": "Serve the teacher, and give its URL: swift gkd --teacher-server http://127.0.0.1:9000/v1.",
    "use_vllm": "Answers are sampled by the engine of --rollout: --rollout vllm.",
    "vllm_mode": "--rollout vllm starts an engine for the run; --rollout URL uses a running server.",
    "vllm_server_host": "Give the URL: --rollout http://HOST:PORT/v1.",
    "vllm_server_port": "Give the URL: --rollout http://HOST:PORT/v1.",
    "vllm_gpu_memory_utilization": "Options of the engine: --rollout.options '{\"gpu_memory_utilization\": 0.5}'.",
    "vllm_tensor_parallel_size": "Options of the engine: --rollout.options '{\"tensor_parallel_size\": 2}'.",
    "vllm_max_model_len": "Options of the engine: --rollout.options '{\"max_model_len\": 4096}'.",
    "num_generations": "Several answers to a prompt are sampled by swift grpo.",
}
