"""Keys that several tools have, since they pass them to transformers, PEFT, bitsandbytes, DeepSpeed or FSDP."""

from __future__ import annotations

import json
import re
from typing import Any

from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.source import Source
from swift_plugin_import.translation import Translation
from swift_plugin_import.vocabulary import Vocabulary

_ZERO = re.compile(r"z(?:ero)?[_-]?(?:stage)?[_-]?([0-3])", re.IGNORECASE)
_OPTIMIZERS = {"use_galore": "galore", "use_apollo": "apollo", "use_muon": "muon"}
_ADAMW = {"adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw", "adamw_apex_fused", "adamw_torch_npu_fused", "adamw_torch_xla"}
_SCHEDULES = {
    "constant_with_warmup": "constant", "cosine_with_min_lr": "cosine", "cosine_warmup_with_min_lr": "cosine",
    "cosine_with_restarts": "cosine-restarts", "inverse_sqrt": "inverse-sqrt", "warmup_stable_decay": "wsd",
}  # fmt: skip
_ATTENTION = {"fa2": "flash_attention_2", "fa3": "flash_attention_3", "disabled": "eager", "flash_attn": "flash_attention_2"}
_SHARDING = {"transformer_layer_cls_to_wrap", "reshard_after_forward", "sharding_strategy", "offload_params", "auto_wrap_policy"}
_ADAPTER = re.compile(r"tuner\.(rank|alpha|dropout|targets|modules_to_save|rslora|dora|bias)")
_STRATEGY = "there is no option for it here: give a number of steps"


def length_of_run(keys: Keys, found: Translation, *, epochs: str = "num_train_epochs") -> None:
    """Read epochs and steps, of which steps win, and the warm-up, whose steps may be a share."""
    steps = keys.take("max_steps")
    if steps is not None and steps > 0:
        found.set("max_steps", steps, "max_steps")
        if epochs in keys:
            found.drop(epochs, keys.take(epochs), "max_steps overrides it")
    elif steps is not None:
        found.drop("max_steps", steps, "the number of epochs counts")
    warmup = keys.take("warmup_steps")
    if isinstance(warmup, float) and 0 < warmup < 1:
        found.set("warmup_ratio", warmup, "warmup_steps, a share")
    elif warmup:
        found.set("warmup_steps", int(warmup), "warmup_steps")
        if "warmup_ratio" in keys:
            found.drop("warmup_ratio", keys.take("warmup_ratio"), "warmup_steps overrides it")
    elif warmup is not None:
        found.drop("warmup_steps", warmup, "no warm-up is the default")


def switch(keys: Keys, found: Translation, key: str, path: str, value: Any, *, off: str = "it is switched off") -> None:
    """Read a key that sets an option to `value` if it is true; `off` is why it is dropped otherwise."""
    given = keys.take(key)
    if is_on(given):
        found.set(path, value, key)
    elif given is not None:
        found.drop(key, given, off)


def precision(keys: Keys, found: Translation) -> None:
    """Read the switches of bfloat16 and float16."""
    for key, dtype in (("bf16", "bfloat16"), ("bfloat16", "bfloat16"), ("fp16", "float16"), ("float16", "float16")):
        value = keys.take(key)
        if value in (True, 1, "full") and "dtype" not in found.settings:
            found.set("dtype", dtype, key)
        elif value is not None:
            found.drop(key, value, "the data type is chosen for the device" if value == "auto" else "it is switched off")


def optimizer(keys: Keys, found: Translation, *, key: str = "optim") -> None:
    """Read the optimizer: AdamW of torch, or another that is installed here."""
    name = keys.take(key)
    for switch_key, chosen in _OPTIMIZERS.items():
        if switch_key not in keys:
            continue
        value = keys.take(switch_key)
        if not is_on(value):
            found.drop(switch_key, value, "it is switched off")
        elif not Vocabulary(found).offers("optimizer", chosen):
            found.refuse(switch_key, value, "no such optimizer is installed here")
        else:
            found.set("optimizer.name", chosen, switch_key if name is None else f"{switch_key}, which overrides {key}")
            return
    if name is None:
        return
    text = str(name).lower().removeprefix("optimizernames.")
    if text in _ADAMW:
        found.drop(key, name, "AdamW is the default")
    elif Vocabulary(found).offers("optimizer", text):
        found.set("optimizer.name", text, key)
    else:
        found.refuse(key, name, "no such optimizer is installed here")


def schedule(keys: Keys, found: Translation, *, key: str = "lr_scheduler_type") -> None:
    """Read the learning rate schedule; `constant` has a warm-up only if it says so."""
    name = keys.take(key)
    if name is None:
        return
    if str(name) == "constant":
        for path in ("warmup_steps", "warmup_ratio"):
            if path in keys and is_on(keys.get(path)):
                found.drop(path, keys.take(path), "the schedule 'constant' has no warm-up")
    found.set("schedule", _SCHEDULES.get(str(name), str(name)), key)


def moments(keys: Keys, found: Translation, *, default_steps: int = 500) -> None:
    """Read when checkpoints are saved and the model is evaluated: a strategy and a number of steps."""
    keys.rename("evaluation_strategy", "eval_strategy")
    words = Vocabulary(found)
    for what in ("eval", "save", "logging"):
        strategy, steps = keys.take(f"{what}_strategy"), keys.take(f"{what}_steps")
        if strategy in ("no", False):
            reason = "the last step is saved in any case, and earlier ones by time" if what == "save" else f"{what} is switched off"
            found.drop(f"{what}_strategy", strategy, reason)
            if steps is not None:
                found.drop(f"{what}_steps", steps, f"{what}_strategy is 'no'")
            continue
        if strategy in ("epoch", "best"):
            if path := words.path(f"{what}_strategy"):
                found.set(path, strategy, f"{what}_strategy")
            elif what == "logging":
                found.drop(f"{what}_strategy", strategy, "metrics are reported by steps")
            else:
                found.refuse(f"{what}_strategy", strategy, _STRATEGY)
            if steps is not None:
                found.drop(f"{what}_steps", steps, f"{what}_strategy is '{strategy}'")
            continue
        if strategy is not None:
            found.drop(f"{what}_strategy", strategy, "a number of steps is the default")
        if isinstance(steps, float) and 0 < steps < 1:
            found.set(f"{what}_steps", steps, f"{what}_steps")
        elif steps is not None and steps > 0:
            found.set(f"{what}_steps", int(steps), f"{what}_steps")
        elif steps is not None:
            found.drop(f"{what}_steps", steps, "it is switched off")
        elif strategy == "steps" and what != "logging":
            found.set(f"{what}_steps", default_steps, f"{what}_strategy, with the default of {what}_steps")


def deepspeed(value: Any, found: Translation, source: Source, *, origin: str = "deepspeed") -> None:
    """Read DeepSpeed's configuration: a mapping, a file, or the name of a stage."""
    if not is_on(value):
        if value is not None:
            found.drop(origin, value, "it is switched off")
        return
    file = source.file(value)
    config = value if isinstance(value, dict) else _json(file.read_text(encoding="utf-8")) if file else None
    if config is not None:
        stage = (config.get("zero_optimization") or {}).get("stage", 0)
        if stage == 0:
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
    if wrapped is not None:
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


def bits(number: Any, found: Translation, origin: str, *, adapter: bool = True) -> None:
    """Choose the weights in 4 or 8 bits while loading: the tuner qlora, or the quantizer bnb."""
    if number == 4 and adapter and found.value("tuner.name", "lora") == "lora":
        found.set("tuner.name", "qlora", origin)
    elif number in (4, 8):
        found.set("quantizer.name", "bnb", origin)
        found.set("quantizer.bits", number, origin)
    else:
        found.refuse(origin, number, "weights are loaded in 4 or 8 bits")


def attention(key: str, value: Any, found: Translation) -> None:
    """Read the attention implementation."""
    if value in (None, "auto"):
        found.drop(key, value, "it is chosen by default")
    else:
        found.set("attention", _ATTENTION.get(str(value), str(value)), key)


def other_code(keys: Keys, found: Translation) -> None:
    """Drop `trust_remote_code`: code of a repository runs only if it is named."""
    value = keys.take("trust_remote_code")
    if value is not None:
        reason = "code of a repository runs only if its name and revision are given: trust_remote_code: [org/name@revision]"
        found.drop("trust_remote_code", value, reason if value else "it is the default")


def resuming(keys: Keys, found: Translation) -> None:
    """Read what is resumed; a checkpoint of another tool can't be."""
    value = keys.take("resume_from_checkpoint")
    if is_on(value):
        found.refuse("resume_from_checkpoint", value, "runs of swift alone can be resumed; for an adapter, start from it: adapter: FOLDER")
    elif value is not None:
        found.drop("resume_from_checkpoint", value, "it is switched off")


def checkpointing(keys: Keys, found: Translation) -> None:
    """Read activation checkpointing, and where activations are kept."""
    value = keys.take("gradient_checkpointing")
    if value in ("offload", "offload_disk"):
        found.refuse("gradient_checkpointing", value, "activations are not offloaded")
    elif value is not None:
        found.set("gradient_checkpointing", is_on(value), "gradient_checkpointing")


def no_tuner_options(found: Translation) -> None:
    """Drop the options of adapters if all weights are trained."""
    if found.value("tuner.name") in ("full", "freeze"):
        for path in [
            path for path in found.settings if re.fullmatch(r"tuner\.(rank|alpha|dropout|targets|modules_to_save|rslora|dora|bias)", path)
        ]:
            setting = found.settings.pop(path)
            found.drop(setting.origin, setting.value, "no adapter is trained")


def _json(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
