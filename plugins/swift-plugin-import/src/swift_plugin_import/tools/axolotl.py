"""axolotl: its YAML files."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from swift_plugin_import import shared
from swift_plugin_import.importer import TableImporter
from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.source import Source
from swift_plugin_import.tools import axolotl_rows, training_arguments
from swift_plugin_import.trackers import trackers
from swift_plugin_import.translation import Translation

_SPEED = re.compile(r"liger|cut_cross_entropy|kernels|SwanLabPlugin", re.IGNORECASE)
_ATTENTION = {
    "flash_attention": "flash_attention_2",
    "sdp_attention": "sdpa",
    "eager_attention": "eager",
    "flex_attention": "flex_attention",
}


class Axolotl(TableImporter):
    """Imports a YAML file of axolotl."""

    name: ClassVar[str] = "axolotl"

    def defaults(self, found: Translation) -> dict[str, Any]:
        """Return the defaults; texts are split, and a row without a limit is not cut."""
        own = super().defaults(found)
        if "max_length" not in found.settings or found.verb == "pretrain":
            del own["truncation"]
        return own

    def arrange(self, keys: Keys, found: Translation, source: Source) -> None:
        """Choose verb and tuner, and read rows, batches, attention, parallelism and special tokens."""
        task = keys.take("rl")
        if keys.take("reward_model"):
            task = "reward"
        found.verb = self.verb(str(task)) if task else "sft"
        if task == "ipo":
            found.verb = "dpo"
            found.set("loss_type", ["ipo"], "rl: ipo")
        elif task == "simpo":
            found.set("loss_type", "simpo", "rl: simpo")
        elif task:
            found.drop("rl", task, f"it is swift {found.verb}")
        axolotl_rows.arrange(keys, found)
        self._tuner(keys, found)
        self._batches(keys, found)
        shared.optimizer(keys, found, key="optimizer")
        shared.schedule(keys, found, key="lr_scheduler")
        shared.length_of_run(keys, found, epochs="num_epochs")
        keys.rename("load_best_model", "load_best_model_at_end")
        self._moments(keys, found)
        self._attention(keys, found)
        self._parallel(keys, found, source)
        self._tokens(keys, found)
        self._excess(keys, found)
        self._plugins(keys, found)
        self._callbacks(keys, found)
        training_arguments.arrange(keys, found, source)
        shared.no_tuner_options(found)

    def _callbacks(self, keys: Keys, found: Translation) -> None:
        """Read early stopping, the loss watchdog and the trackers."""
        patience = keys.take("early_stopping_patience")
        limit, steps = keys.take("loss_watchdog_threshold"), keys.take("loss_watchdog_patience")
        chosen = trackers(keys, found)
        if is_on(patience):
            chosen.insert(0, {"name": "early-stopping", "patience": patience})
        elif patience is not None:
            found.drop("early_stopping_patience", patience, "it is switched off")
        if is_on(limit):
            chosen.append({"name": "loss-watchdog", "threshold": limit, **({"patience": steps} if steps else {})})
        if chosen:
            names = {"early-stopping": "early_stopping_patience", "loss-watchdog": "loss_watchdog_threshold"}
            found.set("callbacks", chosen, ", ".join(names.get(each["name"], each["name"]) for each in chosen))

    def _tuner(self, keys: Keys, found: Translation) -> None:
        adapter = keys.take("adapter")
        found.set("tuner.name", str(adapter) if adapter else "full", "adapter" if adapter else "no adapter")
        four, eight = keys.take("load_in_4bit"), keys.take("load_in_8bit")
        if adapter == "qlora" and four is False and eight:
            found.set("tuner.name", "lora", "adapter")
        if is_on(four):
            if adapter == "qlora":
                found.drop("load_in_4bit", four, "it is what the tuner qlora does")
            else:
                shared.bits(4, found, "load_in_4bit", adapter=bool(adapter))
        elif four is not None:
            found.drop("load_in_4bit", four, "it is the default")
        if is_on(eight) and adapter:
            shared.bits(8, found, "load_in_8bit")
        elif eight is not None:
            found.drop("load_in_8bit", eight, "all weights are trained" if eight else "it is the default")
        if (dora := keys.take("peft_use_dora")) is not None:
            if is_on(dora) and found.value("tuner.name") == "lora":
                found.set("tuner.name", "dora", "peft_use_dora")
            elif is_on(dora):
                found.set("tuner.dora", True, "peft_use_dora")
            else:
                found.drop("peft_use_dora", dora, "it is switched off")
        linear = keys.take("lora_target_linear")
        if is_on(linear):
            found.set("tuner.targets", "all-linear", "lora_target_linear")
        elif linear is not None:
            found.drop("lora_target_linear", linear, "modules are named")
        if not adapter:
            for key in keys.left():
                if key.startswith(("lora_", "peft_", "loraplus_")):
                    found.drop(key, keys.take(key), "no adapter is trained")
        if regexes := keys.take("unfrozen_parameters"):
            found.set("tuner.name", "freeze", "unfrozen_parameters")
            found.set("tuner.train_regex", "|".join(f"(?:{regex})" for regex in regexes), "unfrozen_parameters")
        if directory := keys.take("lora_model_dir"):
            found.set("adapter", [directory], "lora_model_dir")

    def _batches(self, keys: Keys, found: Translation) -> None:
        total, micro = keys.take("batch_size"), keys.get("micro_batch_size", 1)
        if total is None:
            return
        if "gradient_accumulation_steps" in keys:
            found.drop("batch_size", total, "gradient_accumulation_steps overrides it")
        elif total % micro == 0:
            found.set("gradient_accumulation_steps", total // micro, f"batch_size {total} / micro_batch_size {micro}")
        else:
            found.refuse("batch_size", total, f"micro_batch_size {micro} does not divide it")

    def _moments(self, keys: Keys, found: Translation) -> None:
        held_out = "validation_ratio" in found.settings or "val_dataset" in found.settings
        for key in ("evals_per_epoch", "eval_steps", "eval_strategy", "evaluation_strategy", "eval_sample_packing"):
            if key in keys and not held_out:
                found.drop(key, keys.take(key), "nothing is held out")
        shared.moments(keys, found)

    def _attention(self, keys: Keys, found: Translation) -> None:
        for key, name in _ATTENTION.items():
            shared.switch(keys, found, key, "attention", name)
        for key in ("xformers_attention", "sage_attention", "s2_attention"):
            value = keys.take(key)
            if is_on(value):
                found.refuse(key, value, "there is no such attention implementation here")
            elif value is not None:
                found.drop(key, value, "it is switched off")
        if "attn_implementation" in keys:
            value = keys.take("attn_implementation")
            if value in ("xformers", "sage"):
                found.refuse("attn_implementation", value, "there is no such attention implementation here")
            else:
                shared.attention("attn_implementation", value, found)

    def _parallel(self, keys: Keys, found: Translation, source: Source) -> None:
        shared.fsdp(keys, found)
        if "deepspeed" in keys:
            shared.deepspeed(keys.take("deepspeed"), found, source)
        keys.rename("sequence_parallel_degree", "context_parallel_size")
        for key, option in (("context_parallel_size", "context"), ("tensor_parallel_size", "tensor"), ("dp_replicate_size", "data")):
            size = keys.take(key)
            if size is not None and size > 1 and found.value("parallel.name", "mesh") == "mesh":
                found.set("parallel.name", "mesh", key)
                found.set(f"parallel.{option}", size, key)
                found.notes.append(f"{key}: the number of processes, a multiple of {size}, is given with --processes")
            elif size is not None and size > 1:
                found.refuse(key, size, f"the strategy {found.value('parallel.name')} has no such dimension")
            elif size is not None:
                found.drop(key, size, "one process is the default")
        shard = keys.take("dp_shard_size")
        if shard is not None and found.value("parallel.name", "fsdp") == "fsdp":
            found.set("parallel.name", "fsdp", "dp_shard_size")
            found.set("parallel.shard_size", shard, "dp_shard_size")
        elif shard is not None:
            found.refuse("dp_shard_size", shard, "the mesh has no dimension that shards weights")

    def _tokens(self, keys: Keys, found: Translation) -> None:
        for name, token in (keys.take("special_tokens") or {}).items():
            if name == "pad_token":
                found.drop("special_tokens.pad_token", token, "padding is masked, whichever token it is")
            elif name == "eos_token":
                found.drop(f"special_tokens.{name}", token, "answers are trained through the end-of-turn token of the chat template")
            elif name in ("bos_token", "unk_token"):
                found.drop(f"special_tokens.{name}", token, "the chat template and the tokenizer of the checkpoint are used")
            else:
                found.refuse(f"special_tokens.{name}", token, "the special tokens of the checkpoint are used")
        template = keys.take("chat_template")
        if template in (None, "tokenizer_default"):
            if template:
                found.drop("chat_template", template, "the chat template of the checkpoint is the default")
        elif template == "jinja" or keys.get("chat_template_jinja"):
            code = keys.take("chat_template_jinja")
            found.refuse("chat_template_jinja", code, "write it to a file and give its path: chat_template: FILE.jinja")
        elif str(template).endswith(".jinja"):
            found.set("chat_template", str(template), "chat_template")
        else:
            name = str(template).removeprefix("tokenizer_default_fallback_")
            found.drop("chat_template", template, "the chat template of the checkpoint is used")
            found.notes.append(
                f"chat_template: if the checkpoint has no template of its own, give one like '{name}' as a file: chat_template"
            )

    def _excess(self, keys: Keys, found: Translation) -> None:
        value = keys.take("excess_length_strategy")
        ours = {"drop": "drop", "truncate": "right", "raise": "error"}
        if value is not None and value in ours:
            found.set("truncation", ours[value], "excess_length_strategy")
        elif value is not None:
            found.refuse("excess_length_strategy", value, "there are drop, truncate and raise")

    def _plugins(self, keys: Keys, found: Translation) -> None:
        for plugin in keys.take("plugins") or ():
            if _SPEED.search(str(plugin)):
                found.drop("plugins", plugin, "speed only")
            else:
                found.refuse("plugins", plugin, "a plugin of axolotl")
