"""Parallelism as several tools write it: DeepSpeed, FSDP, Megatron's sizes, and Ray's workers."""

from __future__ import annotations

import json
import re
from typing import Any

from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.source import Source
from swift_plugin_import.translation import Translation

_ZERO = re.compile(r"z(?:ero)?[_-]?(?:stage)?[_-]?([0-3])", re.IGNORECASE)
_SHARDING = {"transformer_layer_cls_to_wrap", "reshard_after_forward", "sharding_strategy", "offload_params", "auto_wrap_policy"}


_MEGATRON = {
    "tensor_model_parallel_size": "tensor", "pipeline_model_parallel_size": "pipeline", "expert_model_parallel_size": "expert",
    "context_parallel_size": "context", "virtual_pipeline_model_parallel_size": "chunks", "sequence_parallel": "sequence",
    "use_distributed_optimizer": "distributed_optimizer",
}  # fmt: skip
_MEGATRON_SPEED = (
    "bias_activation_fusion", "apply_rope_fusion", "overlap_param_gather", "overlap_grad_reduce", "moe_grouped_gemm",
    "cross_entropy_loss_fusion", "moe_token_dispatcher_type", "mixed_precision",
    "gradient_accumulation_fusion", "masked_softmax_fusion", "moe_permute_fusion", "export_hf_on_finish",
    "use_packed_sequences", "swap_optimizer", "recompute_method", "recompute_num_layers",
)  # fmt: skip


_RAY = (
    "ray_run_name", "ray_storage_path", "ray_storage_filesystem", "ray_init_kwargs", "placement_strategy", "resources_per_worker",
    "master_addr", "master_port",
)  # fmt: skip


def megatron(keys: Keys, found: Translation) -> None:
    """Read Megatron's sizes, of which one above 1 chooses the strategy, and what it sets for speed alone."""
    if not any(key in keys for key in _MEGATRON):
        return
    sizes = {key: keys.take(key) for key in _MEGATRON if key in keys}
    used = any(is_on(value) and value not in (1, True) for value in sizes.values())
    if used:
        found.set("parallel.name", "megatron", next(key for key, value in sizes.items() if is_on(value) and value not in (1, True)))
    for key, value in sizes.items():
        if used and is_on(value) and (value is True or value != 1):
            found.set(f"parallel.{_MEGATRON[key]}", value, key)
        else:
            found.drop(key, value, "it is the default" if not is_on(value) or value == 1 else "no size is above 1")
    if keys.get("recompute_granularity") is not None:
        found.set("gradient_checkpointing", True, f"recompute_granularity: {keys.take('recompute_granularity')}")
    for key in _MEGATRON_SPEED:
        if key in keys:
            found.drop(key, keys.take(key), "it changes speed and memory only; checkpoints are in the format of Hugging Face")


def mesh(found: Translation, sizes: dict[str, int], origin: str) -> None:
    """Choose a device mesh with these sizes in place of fsdp, whose sharding of weights it has too."""
    if found.value("parallel.offload"):
        found.refuse(origin, next(iter(sizes.values())), "a device mesh has no offload to main memory")
        return
    for path in [path for path in found.settings if path.startswith("parallel.")]:
        setting = found.settings.pop(path)
        if path != "parallel.name":
            found.drop(setting.origin, setting.value, "the mesh shards whole decoder layers")
    found.set("parallel.name", "mesh", origin)
    for name, size in sizes.items():
        found.set(f"parallel.{name}", size, origin)


def ray(keys: Keys, found: Translation, number: str = "ray_num_workers") -> None:
    """Read the number of Ray's workers, which chooses the launcher."""
    workers, used = keys.take(number), keys.take("use_ray")
    if workers is None and not is_on(used):
        if used is not None:
            found.drop("use_ray", used, "it is switched off")
        return
    found.set("launcher.name", "ray", number if workers is not None else "use_ray")
    if isinstance(workers, int) and workers > 0:
        found.set("processes", workers, number)
    for key in _RAY:
        if key in keys:
            found.drop(key, keys.take(key), "the launcher starts its workers in the cluster of RAY_ADDRESS, or on this machine")


def deepspeed(value: Any, found: Translation, source: Source, *, origin: str = "deepspeed") -> None:
    """Read DeepSpeed's configuration: a mapping, a file, or the name of a stage."""
    if not is_on(value):
        if value is not None:
            found.drop(origin, value, "it is switched off")
        return
    file = source.file(value)
    config = value if isinstance(value, dict) else _json(file.read_text(encoding="utf-8")) if file else None
    if config is not None:
        zero = config.get("zero_optimization")
        stage = zero.get("stage", 0) if isinstance(zero, dict) else 0
        if stage in (0, "auto"):
            found.set("parallel.name", "ddp", f"{origin}, whose ZeRO stage is 0")
            return
        found.set("parallel.name", "deepspeed", origin)
        found.set("parallel.config", value if isinstance(value, dict) else str(file), origin)
        return
    stage = _ZERO.search(str(value).rpartition("/")[2])
    if stage and stage[1] != "0":
        name = f"zero{stage[1]}{'-offload' if 'offload' in str(value) and stage[1] != '1' else ''}"
        found.set("parallel.name", name, origin)
        if str(value).endswith(".json"):
            found.notes.append(f"{origin}: '{value}' is not here, so the stage is read from its name: parallel {name}")
    elif stage:
        found.set("parallel.name", "ddp", f"{origin}, whose ZeRO stage is 0")
    else:
        found.refuse(origin, value, "there is no such file, and its name has no ZeRO stage")


def fsdp(keys: Keys, found: Translation) -> None:
    """Read FSDP: the words of `fsdp`, and `fsdp_config` with or without the prefix `fsdp_` in its names."""
    words, config = keys.take("fsdp"), keys.take("fsdp_config")
    for key in ("fsdp_version", "fsdp_min_num_params"):
        if key in keys:
            found.drop(key, keys.take(key), "FSDP2 is used")
    wrapped = keys.take("fsdp_transformer_layer_cls_to_wrap")
    if wrapped is not None and not isinstance(config, str):
        config = {**(config if isinstance(config, dict) else {}), "transformer_layer_cls_to_wrap": wrapped}
    options = {str(key).removeprefix("fsdp_"): value for key, value in config.items()} if isinstance(config, dict) else {}
    chosen = str(words or "").replace("[", " ").replace("]", " ").replace(",", " ").replace("'", " ").split()
    if not chosen and not (is_on(words) or _names_a_sharding(options)):
        for key, value in (("fsdp", words), ("fsdp_config", config)):
            if value is not None:
                found.drop(key, value, "it is switched off")
        return
    if "no_shard" in chosen:
        found.set("parallel.name", "ddp", "fsdp: no_shard")
        return
    origin = "fsdp" if words else "fsdp_config"
    found.set("parallel.name", "fsdp", origin)
    if "offload" in chosen:
        found.set("parallel.offload", True, "fsdp: offload")
    if "shard_grad_op" in chosen:
        found.set("parallel.reshard_after_forward", False, "fsdp: shard_grad_op")
    if isinstance(config, str):
        found.refuse("fsdp_config", config, "a file; write its contents into fsdp_config")
    _fsdp_options(options, found)


def _names_a_sharding(options: dict[str, Any]) -> bool:
    return bool(options.keys() & _SHARDING)


def _fsdp_options(options: dict[str, Any], found: Translation) -> None:
    for key, value in options.items():
        origin = f"fsdp_config.{key}"
        if key == "transformer_layer_cls_to_wrap" and is_on(value):
            found.set("parallel.wrap", [name.strip() for name in value.split(",")] if isinstance(value, str) else value, origin)
        elif key in ("offload_params", "cpu_offload") and is_on(value):
            found.set("parallel.offload", True, origin)
        elif key == "reshard_after_forward" and value in (True, False):
            found.set("parallel.reshard_after_forward", value, origin)
        elif key in ("reshard_after_forward", "sharding_strategy"):
            if value in ("SHARD_GRAD_OP", 2):
                found.set("parallel.reshard_after_forward", False, origin)
            else:
                found.drop(origin, value, "weights are sharded again after the forward pass by default")
        elif key == "activation_checkpointing" and is_on(value):
            found.set("gradient_checkpointing", True, origin)
        else:
            found.drop(origin, value, "the strategy fsdp (FSDP2) does it by itself")


def _json(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
