"""Keys that several tools have, since they pass them to transformers, PEFT or bitsandbytes."""

from __future__ import annotations

import re
from typing import Any

from swift_plugin_import.keys import Keys, is_on, scalar
from swift_plugin_import.translation import Translation
from swift_plugin_import.vocabulary import Vocabulary

_OPTIMIZERS = {"use_galore": "galore", "use_badam": "badam", "use_apollo": "apollo", "use_muon": "muon", "use_adam_mini": "adam-mini"}
_ADAMW = {"adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw", "adamw_apex_fused", "adamw_torch_npu_fused", "adamw_torch_xla"}
_SCHEDULES = {
    "constant_with_warmup": "constant", "cosine_with_min_lr": "cosine", "cosine_warmup_with_min_lr": "cosine",
    "cosine_with_restarts": "cosine-restarts", "inverse_sqrt": "inverse-sqrt", "warmup_stable_decay": "wsd",
}  # fmt: skip
_HUB = "kernels-community/"
_KERNELS = {"flash-attn3": "flash_attention_3", "flash-attn": "flash_attention_2", "flash-attn2": "flash_attention_2"}
_ATTENTION = {
    "fa2": "flash_attention_2",
    "fa3": "flash_attention_3",
    "disabled": "eager",
    "flash_attn": "flash_attention_2",
    "xformers": "sdpa",
}
_STRATEGY = "there is no option for it here: give a number of steps"


def number(keys: Keys, found: Translation, key: str) -> int | float | None:
    """Take a number; any other value is refused, and counts as missing."""
    value = keys.take(key)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    found.refuse(key, value, "must be a number")
    return None


def mapping(keys: Keys, found: Translation, key: str) -> dict[str, Any]:
    """Take a mapping; any other value is refused, and counts as empty."""
    value = keys.take(key)
    if isinstance(value, dict):
        return value
    if is_on(value):
        found.refuse(key, value, "must be a mapping")
    return {}


def length_of_run(keys: Keys, found: Translation, *, epochs: str = "num_train_epochs") -> None:
    """Read epochs and steps, of which steps win, and the warm-up, whose steps may be a share."""
    steps = number(keys, found, "max_steps")
    if steps is not None and steps > 0:
        found.set("max_steps", int(steps), "max_steps")
        if epochs in keys:
            found.drop(epochs, keys.take(epochs), "max_steps overrides it")
    elif steps is not None:
        found.drop("max_steps", steps, "the number of epochs counts")
    warmup = number(keys, found, "warmup_steps")
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
            name = None
            break
    if found.value("optimizer.name") == "badam" and (mode := keys.take("badam_mode")) is not None:
        if mode == "layer":
            found.drop("badam_mode", mode, "one layer is updated at a time")
        else:
            found.refuse("badam_mode", mode, "BAdam updates one layer at a time")
    if name is None:
        return
    text = str(name).lower().removeprefix("optimizernames.")
    if text in _ADAMW:
        found.drop(key, name, "AdamW is the default")
    elif Vocabulary(found).offers("optimizer", text):
        found.set("optimizer.name", text, key)
    else:
        found.refuse(key, name, "no such optimizer is installed here")


def optimizer_arguments(keys: Keys, found: Translation) -> None:
    """Read `optim_args`: `name=value, …`, or a mapping."""
    value = keys.take("optim_args")
    if value is None:
        return
    pairs = value.items() if isinstance(value, dict) else (str(item).partition("=")[::2] for item in str(value).split(",") if item.strip())
    names = Vocabulary(found)
    for name, item in pairs:
        path = names.path(str(name).strip())
        if path.startswith("optimizer."):
            found.set(path, scalar(item), f"optim_args: {name}")
        else:
            found.refuse(f"optim_args.{name}", item, "the optimizer has no such option here")


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


def schedule_arguments(keys: Keys, found: Translation) -> None:
    """Read `lr_scheduler_kwargs`."""
    known = Vocabulary(found).paths()
    for name, value in mapping(keys, found, "lr_scheduler_kwargs").items():
        origin = f"lr_scheduler_kwargs.{name}"
        if f"schedule_options.{name}" in known:
            found.set(f"schedule_options.{name}", value, origin)
        else:
            found.refuse(origin, value, "the schedules have no such option here")


def moments(keys: Keys, found: Translation, *, default_steps: int = 500) -> None:
    """Read when checkpoints are saved and the model is evaluated: a strategy and a number of steps."""
    keys.rename("evaluation_strategy", "eval_strategy")
    words = Vocabulary(found)
    for what in ("eval", "save", "logging"):
        strategy, steps = keys.take(f"{what}_strategy"), number(keys, found, f"{what}_steps")
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
    elif kernel := next((name for end, name in _KERNELS.items() if str(value).startswith(_HUB) and str(value).endswith(end)), ""):
        found.set("attention", kernel, key)
        found.notes.append(f"{key}: code of a hub's kernel is not executed; {kernel} is that of the package flash-attn")
    else:
        found.set("attention", _ATTENTION.get(str(value), str(value)), key)
        if value == "xformers":
            found.notes.append(f"{key}: sdpa of torch has the memory-efficient kernel of xFormers, with the same results")


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
    keys.rename("activation_checkpointing", "gradient_checkpointing")
    value, moved = keys.take("gradient_checkpointing"), keys.take("activation_offloading")
    if "disk" in (moved, str(value).removeprefix("offload_")):
        key = "activation_offloading" if moved == "disk" else "gradient_checkpointing"
        found.refuse(key, moved or value, "activations are offloaded to main memory, not to a disk")
    elif is_on(moved) or value == "offload":
        origin = "activation_offloading" if is_on(moved) else "gradient_checkpointing: offload"
        found.set("gradient_checkpointing", True, "gradient_checkpointing" if value is not None else origin)
        found.set("activation_offload", True, origin)
        if value in (None, False):
            found.notes.append(f"{origin}: activations are recomputed too, from those that wait in main memory")
    elif value is not None:
        found.set("gradient_checkpointing", is_on(value), "gradient_checkpointing")
    if moved is not None and not is_on(moved):
        found.drop("activation_offloading", moved, "it is switched off")


def no_tuner_options(found: Translation) -> None:
    """Drop the options of adapters if all weights are trained."""
    if found.value("tuner.name") in ("full", "freeze"):
        for path in [
            path for path in found.settings if re.fullmatch(r"tuner\.(rank|alpha|dropout|targets|modules_to_save|rslora|dora|bias)", path)
        ]:
            setting = found.settings.pop(path)
            found.drop(setting.origin, setting.value, "no adapter is trained")
