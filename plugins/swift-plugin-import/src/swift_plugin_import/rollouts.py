"""Keys of tasks that sample answers in tools built on TRL: the engine, its options, and the rewards."""

from __future__ import annotations

import re
from typing import Any

from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.translation import Translation

VERBS = ("grpo", "rloo", "gkd", "online-dpo", "ppo")
_REWARDS = {
    "accuracy_reward": "accuracy", "think_format_reward": "format", "get_soft_overlong_punishment": "soft-overlong", "accuracy": "accuracy",
    "format": "format", "cosine": "cosine", "repetition": "repetition", "soft_overlong": "soft-overlong",
}  # fmt: skip
_ENGINE = {  # key of vLLM in a file → option of the backend
    "vllm_gpu_memory_utilization": "gpu_memory_utilization", "vllm_tensor_parallel_size": "tensor_parallel_size",
    "vllm_max_model_length": "max_model_len", "vllm_max_model_len": "max_model_len", "gpu_memory_utilization": "gpu_memory_utilization",
    "tensor_parallel_size": "tensor_parallel_size", "max_model_len": "max_model_len",
}  # fmt: skip
_DEFAULT_PORT = 8000


def arrange(keys: Keys, found: Translation) -> None:
    """Read the engine and the rewards of a task that samples answers."""
    _engine(keys, found)
    _rewards(keys, found)
    length = keys.take("max_prompt_length")
    if length is not None:
        found.set("max_length", length, "max_prompt_length")
        found.set("truncation", "left", "max_prompt_length")


def _engine(keys: Keys, found: Translation) -> None:
    used, mode, url = keys.take("use_vllm"), keys.take("vllm_mode"), keys.take("vllm_server_base_url")
    host, port = keys.take("vllm_server_host", keys.take("host")), keys.take("vllm_server_port", keys.take("port"))
    for key in ("vllm_server_timeout", "vllm_group_port"):
        if key in keys:
            found.drop(key, keys.take(key), "the run waits for the server, and gives it weights over HTTP or a shared folder")
    options = {name: keys.take(key) for key, name in _ENGINE.items() if key in keys}
    if not is_on(used):
        for key, value in (("use_vllm", used), ("vllm_mode", mode)):
            if value is not None:
                found.drop(key, value, "answers are sampled by the embedded server")
        if options:
            found.drop("vllm", options, "vLLM is not used")
    elif url or mode == "server" or host:
        found.set("rollout.name", str(url or f"http://{host or '127.0.0.1'}:{port or _DEFAULT_PORT}/v1"), "vllm_server_host, vllm_mode")
        if options:
            found.drop("vllm", options, "it belongs to the command that starts the server: swift serve")
    else:
        found.set("rollout.name", "vllm", "use_vllm")
        if options:
            found.set("rollout.options", options, "options of vLLM")


def _rewards(keys: Keys, found: Translation) -> None:
    given = keys.take("reward_funcs")
    if given is None:
        return
    chosen: list[Any] = [_reward(str(name)) for name in (given if isinstance(given, list) else [given])]
    found.set("reward_funcs", chosen, "reward_funcs")


def _reward(name: str) -> str:
    """Return a reward as it is named here: by its name, or as MODULE:FUNCTION."""
    module, _, function = name.rpartition(".")
    if function in _REWARDS and (not module or module.startswith("trl")):
        return _REWARDS[function]
    return f"{module}:{function}" if re.fullmatch(r"[\w.]+\.\w+", name) and not name.endswith(".py") else name
