"""Options of ms-swift's `swift rollout` that need no counterpart here."""

from __future__ import annotations

from collections.abc import Mapping

_BESIDE = "schedulers, rewards and templates run beside the training: give it to swift grpo"
_PUBLISHED = "adapters and weights are published by the training"
_ALWAYS = "the engine is always asked as a server, with tokens"

IGNORED: Mapping[str, str] = {
    **dict.fromkeys(("multi_turn_scheduler", "max_turns", "external_plugins", "use_gym_env", "gym_env", "context_manager"), _BESIDE),
    **dict.fromkeys(("enable_thinking", "max_length", "system", "template", "agent_template", "use_chat_template"), _BESIDE),
    **dict.fromkeys(("vllm_enable_lora", "enable_lora", "merge_lora", "vllm_server_pass_dataset"), _PUBLISHED),
    **dict.fromkeys(("vllm_use_async_engine", "log_level", "verbose", "sleep_level"), _ALWAYS),
    "trust_remote_code=false": "it is the default",
}

SAMPLE_IGNORED: Mapping[str, str] = {
    "stream": "whole answers are written",
    "sampler_type": "answers are sampled, by a checkpoint that is served or by --url",
    "load_args": "nothing is read from the folder of an adapter but the adapter",
    "override_exist_file": "an output that exists is replaced with --overwrite alone",
    "num_sampling_batch_size": "the engine forms batches of the requests: --concurrency",
}

SAMPLE_UNSUPPORTED: Mapping[str, str] = {
    "prm_model": "Serve the reward model, and ask it in a reward function: --reward-funcs FILE.py:FUNCTION.",
    "device_groups": "Start the server with its devices, and give its URL: --url.",
}
