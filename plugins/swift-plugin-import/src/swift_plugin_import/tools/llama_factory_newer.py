"""The groups of LLaMA-Factory's newer files: peft_config, quant_config, dist_config, optim_config, init_config."""

from __future__ import annotations

from typing import Any

from swift_plugin_import import parallel, shared
from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.source import Source
from swift_plugin_import.translation import Translation
from swift_plugin_import.vocabulary import Vocabulary

_PEFT = {"r": "rank", "lora_alpha": "alpha", "lora_dropout": "dropout", "target_modules": "targets", "modules_to_save": "modules_to_save"}
_CHOSEN = ("dcp_path", "mixed_precision", "mp_replicate_size", "dp_size", "timeout", "monitor_config", "comms_config")
_OPTIMIZER = {"wd": "weight_decay", "adamw_eps": "eps"}


def arrange(keys: Keys, found: Translation, source: Source) -> None:
    """Read the groups of the newer files: peft_config, quant_config, dist_config."""
    peft, quant, dist = keys.take("peft_config"), keys.take("quant_config"), keys.take("dist_config")
    if isinstance(peft, dict):
        names = _PEFT
        if peft.get("name") == "freeze":
            _frozen(peft, found)
            peft = {}
        for key, value in peft.items():
            if key in ("name", "mode"):
                found.set("tuner.name", "lora" if value == "default" else value, f"peft_config.{key}")
            elif key in names:
                found.set(f"tuner.{names[key]}", "all-linear" if value == "all" else value, f"peft_config.{key}")
            elif key in ("export_dir", "infer_dtype"):
                found.drop(f"peft_config.{key}", value, "merge the adapter afterwards: swift merge")
            else:
                found.refuse(f"peft_config.{key}", value, "no such key is known")
    elif ("train_dataset" in keys or dist is not None) and found.settings["tuner.name"].origin.startswith("default"):
        found.set("tuner.name", "full", "no peft_config")
    init, optimizer = keys.take("init_config"), keys.take("optim_config")
    if init is not None:
        found.drop("init_config", init, "the parallel strategy chooses where weights are read")
    if isinstance(optimizer, dict):
        _optimizer(optimizer, found)
    if isinstance(quant, dict):
        shared.bits(quant.get("quantization_bit"), found, "quant_config.quantization_bit")
    if isinstance(dist, dict):
        _distribution(dist, found, source)
    size, mode = keys.take("cp_size"), keys.take("cp_mode")
    if mode is not None:
        found.drop("cp_mode", mode, "attention sees all tokens of some heads (Ulysses)")
    if isinstance(size, int) and size > 1:
        parallel.mesh(found, {"context": size}, "cp_size")
    elif size is not None:
        found.drop("cp_size", size, "it is the default")


def _frozen(peft: dict[str, Any], found: Translation) -> None:
    """Read the newer files' peft_config of frozen weights."""
    found.set("tuner.name", "freeze", "peft_config.name")
    for key, value in peft.items():
        origin = f"peft_config.{key}"
        if key == "freeze_trainable_layers" and isinstance(value, int) and value > 0:
            found.set("tuner.last_blocks", value, origin)
        elif key == "freeze_trainable_modules" and value == "all":
            found.drop(origin, value, "whole blocks are trained")
        elif key != "name" and is_on(value):
            found.refuse(origin, value, "name the weights: tuner: {name: freeze, train: […]}")


def _optimizer(config: dict[str, Any], found: Translation) -> None:
    """Read the newer files' optim_config: a name, and options of that optimizer by the names of its library."""
    words = Vocabulary(found)
    for key, value in sorted(config.items(), key=lambda item: item[0] != "name"):  # the name chooses the options
        origin = f"optim_config.{key}"
        if key == "name" and words.offers("optimizer", str(value)):
            found.set("optimizer.name", str(value), origin)
        elif key == "adamw_betas" and isinstance(value, list) and len(value) == 2:
            found.set("optimizer.beta1", value[0], origin)
            found.set("optimizer.beta2", value[1], origin)
        elif (path := words.path(_OPTIMIZER.get(key, key))).startswith("optimizer."):
            found.set(path, value, origin)
        else:
            found.refuse(origin, value, "there is no such optimizer or option of it here")


def _distribution(dist: dict[str, Any], found: Translation, source: Source) -> None:
    name = str(dist.get("name", "")).removesuffix("turbo")
    if name == "deepspeed":
        parallel.deepspeed(dist.get("config_file"), found, source, origin="dist_config.config_file")
    elif Vocabulary(found).offers("parallel", name):
        found.set("parallel.name", name, "dist_config.name")
    else:
        found.refuse("dist_config.name", name, "there is no such parallel strategy here")
    for key, value in dist.items():
        if key not in ("name", "config_file") and value in (None, False, 1, ""):
            found.drop(f"dist_config.{key}", value, "it is the default")
        elif key in ("ep_size", "ep_dispatcher") and name.startswith("fsdp"):
            found.drop(f"dist_config.{key}", value, "fsdp shards the weights of the experts; the result is the same")
        elif key in _CHOSEN:
            found.drop(f"dist_config.{key}", value, "the parallel strategy chooses it")
        elif key not in ("name", "config_file"):
            found.refuse(f"dist_config.{key}", value, "the strategy has no such option here")
