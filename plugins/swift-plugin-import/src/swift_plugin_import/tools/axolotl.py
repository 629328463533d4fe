"""axolotl: its YAML files."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from swift_plugin_import import parallel, rollouts, shared
from swift_plugin_import.importer import TableImporter
from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.source import Source
from swift_plugin_import.tools import axolotl_model, axolotl_rows, training_arguments
from swift_plugin_import.trackers import trackers
from swift_plugin_import.translation import Translation

_SPEED = re.compile(r"liger|cut_cross_entropy|kernels|SwanLabPlugin", re.IGNORECASE)
_EAFT_TOKENS = 20


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
        if is_on(keys.take("reward_model")):
            task = "reward"
        if is_on(keys.take("process_reward_model")):
            task = "prm"
        if any("DiffusionPlugin" in str(plugin) for plugin in axolotl_rows.listed(keys.get("plugins") or ())):
            task = "diffusion"
        if task in ("grpo", "gdpo"):
            keys.spread("trl")
            keys.spread("vllm")
        found.verb = self.verb(str(task)) if task else "sft"
        if task == "ipo":
            found.verb = "dpo"
            found.set("loss_type", ["ipo"], "rl: ipo")
        elif task == "simpo":
            found.set("loss_type", "simpo", "rl: simpo")
        elif task and found.verb == task:
            found.drop("rl", task, f"it is swift {found.verb}")
        labels = keys.take("num_labels")
        if labels is not None and task == "reward" and labels == 1:
            found.drop("num_labels", labels, "a reward model has one score")
        elif labels is not None:
            found.refuse("num_labels", labels, "classifiers are trained by swift seq-cls")
        axolotl_rows.arrange(keys, found)
        if found.verb in rollouts.VERBS:
            rollouts.arrange(keys, found)
        self._tuner(keys, found)
        self._batches(keys, found)
        if is_on(keys.get("lisa_n_layers")):
            axolotl_model.lisa(keys, found)
        else:
            shared.optimizer(keys, found, key="optimizer")
        shared.schedule(keys, found, key="lr_scheduler")
        shared.length_of_run(keys, found, epochs="num_epochs")
        keys.rename("load_best_model", "load_best_model_at_end")
        self._moments(keys, found)
        axolotl_model.attention(keys, found)
        axolotl_model.distribution(keys, found, source)
        parallel.ray(keys, found)
        axolotl_model.model(keys, found)
        self._losses(keys, found)
        axolotl_model.tokens(keys, found)
        self._excess(keys, found)
        self._plugins(keys, found)
        self._callbacks(keys, found)
        training_arguments.arrange(keys, found, source)
        shared.no_tuner_options(found)

    def _callbacks(self, keys: Keys, found: Translation) -> None:
        """Read early stopping, the loss watchdog and the trackers, and whether the output is uploaded."""
        if is_on(keys.get("hub_model_id")):
            found.set("push_to_hub", True, "hub_model_id")
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
            found.set("tuner.train_regex", "|".join(f"(?:{regex})" for regex in axolotl_rows.listed(regexes)), "unfrozen_parameters")
            for key in [key for key in keys.left() if key.startswith(("lora_", "peft_", "loraplus_"))]:
                found.drop(key, keys.take(key), "no adapter is trained: unfrozen_parameters chooses the weights")
        if directory := keys.take("lora_model_dir"):
            found.set("adapter", [directory], "lora_model_dir")
        axolotl_model.quantization(keys, found)
        frozen = keys.take("freeze_mm_modules")
        if is_on(frozen) and found.value("tuner.name") != "freeze":
            found.set("tuner.freeze_vit", True, "freeze_mm_modules")
            found.set("tuner.freeze_aligner", True, "freeze_mm_modules")
        elif frozen is not None:
            found.drop("freeze_mm_modules", frozen, "unfrozen_parameters chooses the weights" if frozen else "it is switched off")

    def _batches(self, keys: Keys, found: Translation) -> None:
        total, micro = keys.take("batch_size"), keys.get("micro_batch_size", 1)
        if not isinstance(total, int) or not isinstance(micro, int) or micro < 1:
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

    def _losses(self, keys: Keys, found: Translation) -> None:
        """Read losses other than the cross entropy, and the order of the rows."""
        shared.switch(keys, found, "use_eaft", "loss_type", "eaft")
        shared.switch(keys, found, "use_dynamic_finetuning", "loss_type", "dft")
        if found.value("loss_type") != "eaft":
            for key in ("eaft_alpha", "eaft_k"):
                if key in keys:
                    found.drop(key, keys.take(key), "the loss is another one")
        top = keys.take("eaft_k")
        if top == _EAFT_TOKENS:
            found.drop("eaft_k", top, "it is the number used here")
        elif top is not None:
            found.refuse("eaft_k", top, f"the entropy of the {_EAFT_TOKENS} most probable tokens is used")
        shared.switch(keys, found, "curriculum_sampling", "shuffle", False)

    def _excess(self, keys: Keys, found: Translation) -> None:
        value = keys.take("excess_length_strategy")
        ours = {"drop": "drop", "truncate": "right", "raise": "error"}
        if isinstance(value, str) and value in ours:
            found.set("truncation", ours[value], "excess_length_strategy")
        elif value is not None:
            found.refuse("excess_length_strategy", value, "there are drop, truncate and raise")

    def _plugins(self, keys: Keys, found: Translation) -> None:
        for plugin in axolotl_rows.listed(keys.take("plugins") or ()):
            if _SPEED.search(str(plugin)):
                found.drop("plugins", plugin, "speed only")
            else:
                found.refuse("plugins", plugin, "a plugin of axolotl")
