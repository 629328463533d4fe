"""LLaMA-Factory: its YAML and JSON files, and command lines of llamafactory-cli."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from swift_plugin_import import parallel, shared
from swift_plugin_import.importer import TableImporter
from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.source import Source
from swift_plugin_import.tools import llama_factory_inference, llama_factory_newer, training_arguments
from swift_plugin_import.tools.dataset_info import Registered, split_names
from swift_plugin_import.trackers import trackers
from swift_plugin_import.translation import Translation, is_secret

_PROGRAMS = ("llamafactory-cli", "lmf")
_LOSSES = {"ipo": "ipo", "hinge": "hinge", "sigmoid": "sigmoid", "robust": "robust", "bco_pair": "bco_pair", "apo_zero": "apo_zero"}
_NO_THINKING = "_nothink"
_PARTS = {
    "freeze_vision_tower": "tuner.freeze_vit", "freeze_multi_modal_projector": "tuner.freeze_aligner",
    "freeze_language_model": "tuner.freeze_llm",
}  # fmt: skip


class LlamaFactory(TableImporter):
    """Imports a file of LLaMA-Factory."""

    name: ClassVar[str] = "llama-factory"

    def probe(self, source: Source) -> float:
        """Count typical keys, or recognise the command line."""
        if any(command.words[0].endswith(_PROGRAMS) and len(command.words) > 2 for command in source.commands):
            return 100
        return super().probe(source)

    def read(self, source: Source) -> Sequence[Translation]:
        """Translate the file, or the command lines and the files that they name."""
        found = []
        for command in source.commands:
            if command.words[0].endswith(_PROGRAMS) and len(command.words) > 2:
                values = command.flags(2)
                for word in command.positional(2):
                    key, equals, value = word.partition("=")
                    file = None if equals else source.file(word)
                    values = {**(Source.read(file).values or {}), **values} if file else {**values, key: value} if equals else values
                if processes := command.variables.get("NPROC_PER_NODE"):
                    values["nproc_per_node"] = processes
                secrets = {name: value for name, value in command.variables.items() if is_secret(name, value)}
                found.append(self.translate(Keys({**values, **secrets}), source))
        return found or super().read(source)

    def defaults(self, found: Translation) -> dict[str, Any]:
        """Return the defaults of a training, with alpha twice the rank; other verbs have none."""
        if found.verb in ("merge", "export", "quantize", "infer"):
            return {}
        own = super().defaults(found)
        if found.verb == "pretrain":
            own["truncation"] = "split"
        if found.verb == "reward":
            own.pop("truncation", None)  # scores are read at the last token, which is never cut
        rank = found.value("tuner.rank", own["tuner.rank"])
        if found.value("tuner.name") in ("lora", "qlora", "dora", "rslora", "pissa", "loraplus") and isinstance(rank, int):
            return {**own, "tuner.alpha": 2 * rank}
        return {path: value for path, value in own.items() if not path.startswith("tuner.")}

    def arrange(self, keys: Keys, found: Translation, source: Source) -> None:
        """Choose the verb and the tuner, and read data sets, template, quantization and batches."""
        found.verb = self._verb(keys, found)
        if found.verb in ("merge", "infer", "export", "quantize"):
            llama_factory_inference.arrange(keys, found, source)
            return
        for key in ("max_new_tokens", "temperature", "top_p", "do_sample"):
            if key in keys:
                found.drop(key, keys.take(key), "training samples no answers")
        strategy = keys.take("batching_strategy")
        if strategy is not None and "pack" in str(strategy):
            found.set("packing", True, "batching_strategy")
        elif strategy is not None:
            found.drop("batching_strategy", strategy, "rows are batched without padding where the model allows it")
        self._tuner(keys, found)
        llama_factory_newer.arrange(keys, found, source)
        self._batches(keys, found)
        parallel.megatron(keys, found)
        parallel.ray(keys, found)
        training_arguments.arrange(keys, found, source)
        registered = Registered(source, str(keys.take("dataset_dir", "data")))
        limit = keys.take("max_samples")
        for key, path in (("dataset", "dataset"), ("train_dataset", "dataset"), ("eval_dataset", "val_dataset")):
            if key in keys:
                registered.place(split_names(keys.take(key)), path, found, limit=limit, origin=key)
        if "flash_attn" in keys:
            shared.attention("flash_attn", keys.take("flash_attn"), found)
        if is_on(keys.take("pure_bf16")):
            found.set("dtype", "bfloat16", "pure_bf16")
            found.notes.append("pure_bf16: weights that learn are kept in float32, which is more exact and takes more memory")
        self._validation(keys, found)
        self._masks(keys, found)
        self._template(keys, found)
        self._preferences(keys, found)
        if observed := trackers(keys, found):
            found.set("callbacks", observed, ", ".join(each["name"] for each in observed))
        self._mixture(keys, found)
        shared.switch(keys, found, "use_dft_loss", "loss_type", "dft")
        shared.switch(keys, found, "use_asft_loss", "loss_type", "asft")
        if found.value("loss_type") != "asft" and "asft_alpha" in keys:
            found.drop("asft_alpha", keys.take("asft_alpha"), "the loss is another one")
        shared.switch(keys, found, "use_eaft_loss", "loss_type", "eaft")
        if keys.take("disable_gradient_checkpointing"):
            found.set("gradient_checkpointing", False, "disable_gradient_checkpointing")
        elif "gradient_checkpointing" not in found.settings and "enable_activation_checkpointing" not in keys:
            found.set("gradient_checkpointing", True, f"default of {self.title}")

    def _mixture(self, keys: Keys, found: Translation) -> None:
        """Read how data sets are mixed."""
        strategy, given = keys.take("mix_strategy"), keys.take("interleave_probs")
        ends = {"interleave_under": "first_exhausted", "interleave_over": "all_exhausted"}
        if strategy in ends and given is not None:
            found.set("data.probabilities", [float(item) for item in str(given).split(",")], "interleave_probs")
            found.set("data.stopping", ends[strategy], "mix_strategy")
        elif strategy in (None, "concat"):
            for key, value in (("mix_strategy", strategy), ("interleave_probs", given)):
                if value is not None:
                    found.drop(key, value, "the data sets are concatenated")
        else:
            found.refuse("mix_strategy", strategy, "give the probability of each data set: interleave_probs")

    def _verb(self, keys: Keys, found: Translation) -> str:
        stage, train = keys.take("stage"), keys.get("do_train")
        if "export_dir" in keys:
            if "export_quantization_bit" in keys:
                return "quantize"
            return "merge" if "adapter_name_or_path" in keys else "export"
        if is_on(keys.get("do_predict")) and not is_on(train) and ("eval_dataset" in keys or "dataset" in keys):
            return "infer"
        if ("infer_backend" in keys or keys.get("sample_backend")) and not (train or stage or "train_dataset" in keys):
            return "infer"
        verb = self.verb(str(stage or "sft"))
        if stage == "dpo":
            loss = keys.get("pref_loss", "sigmoid")
            return {"orpo": "orpo", "simpo": "cpo"}.get(str(loss), "dpo")
        return verb

    def _tuner(self, keys: Keys, found: Translation) -> None:
        name = str(keys.take("finetuning_type", "lora"))
        found.set("tuner.name", name, "finetuning_type" if keys.get("finetuning_type") else f"default of {self.title}")
        for key, tuner in (("use_dora", "dora"), ("pissa_init", "pissa")):
            shared.switch(keys, found, key, "tuner.name", tuner)
        for key in ("pissa_iter", "pissa_convert"):
            if key in keys:
                found.drop(key, keys.take(key), "the adapter is saved for the unmodified base model")
        for key in ("lora_target", "oft_target"):
            if key in keys:
                targets = keys.take(key)
                found.set("tuner.targets", "all-linear" if targets == "all" else split_names(targets), key)
        layers = keys.take("freeze_trainable_layers", 2 if name == "freeze" else None)
        pro = is_on(keys.take("use_llama_pro"))
        if name == "freeze" and isinstance(layers, int) and layers > 0:
            found.set("tuner.spread_blocks" if pro else "tuner.last_blocks", layers, "freeze_trainable_layers" + ", use_llama_pro" * pro)
        elif layers is not None and name != "freeze":
            found.drop("freeze_trainable_layers", layers, "finetuning_type is not freeze")
        elif layers is not None:
            found.refuse("freeze_trainable_layers", layers, "the last blocks can be trained, not the first ones")
        for key in ("freeze_trainable_modules", "freeze_extra_modules"):
            value = keys.take(key)
            if value == "all":
                found.drop(key, value, "whole blocks are trained")
            elif value is not None:
                found.refuse(key, value, "name the weights: tuner: {name: freeze, train: […]}")
        if name in ("full", "freeze"):
            for key in ("lora_rank", "lora_alpha", "lora_dropout", "additional_target"):
                if key in keys:
                    found.drop(key, keys.take(key), "no adapter is trained")
        if adapters := split_names(keys.take("adapter_name_or_path")):
            found.set("adapter", adapters, "adapter_name_or_path")
        self._quantization(keys, found)
        _parts(keys, found)

    def _quantization(self, keys: Keys, found: Translation) -> None:
        bits, method = keys.take("quantization_bit"), str(keys.take("quantization_method", "bnb"))
        if bits is None:
            for key in ("double_quantization", "quantization_type"):
                if key in keys:
                    found.drop(key, keys.take(key), "nothing is quantized")
        elif method.lower() in ("bnb", "bitsandbytes", "4", "3"):
            shared.bits(bits, found, "quantization_bit")
            for key in ("double_quantization", "quantization_type"):
                if key in keys and (bits != 4 or keys.get(key) in (True, "nf4")):
                    found.drop(key, keys.take(key), "it is the default of 4-bit weights" if bits == 4 else "weights have 8 bits")
                elif key in keys:
                    found.set("quantizer.name", "bnb", "quantization_bit")
        else:
            found.refuse("quantization_method", method, "weights are quantized by bitsandbytes while loading")

    def _batches(self, keys: Keys, found: Translation) -> None:
        total, micro = keys.take("global_batch_size"), keys.get("micro_batch_size", 1)
        processes = keys.get("nproc_per_node", 1)
        if not isinstance(total, int) or not isinstance(micro, int) or not isinstance(processes, int):
            return
        if total % (micro * processes) == 0:
            origin = f"global_batch_size {total} = {micro} × {processes} × accumulation"
            found.set("gradient_accumulation_steps", total // (micro * processes), origin)
            if processes == 1:
                found.notes.append(f"global_batch_size: on N processes, divide gradient_accumulation_steps by N for {total} rows per step")
        else:
            found.refuse("global_batch_size", total, f"micro_batch_size {micro} × {processes} processes do not divide it")

    def _validation(self, keys: Keys, found: Translation) -> None:
        size = shared.number(keys, found, "val_size")
        if size is None:
            return
        if size > 0:
            found.set("validation_ratio", size, "val_size")
        else:
            found.drop("val_size", size, "nothing is held out by default")

    def _masks(self, keys: Keys, found: Translation) -> None:
        for key, turns in (("train_on_prompt", "everything"), ("mask_history", "last")):
            shared.switch(keys, found, key, "mask.turns", turns, off="it is the default")

    def _template(self, keys: Keys, found: Translation) -> None:
        name, thinking = keys.take("template"), keys.get("enable_thinking")
        if name is not None and str(name).endswith(_NO_THINKING):
            found.set("template_variables", {"enable_thinking": False}, f"template: {name}")
        elif name is not None:
            found.drop("template", name, "the chat template of the checkpoint is used; another one is given as a file: chat_template")
        if thinking is not None:
            found.set("template_variables", {"enable_thinking": is_on(keys.take("enable_thinking"))}, "enable_thinking")
        if found.verb == "pretrain":
            for path in ("template_variables", "mask.turns"):
                if path in found.settings:
                    setting = found.settings.pop(path)
                    found.drop(setting.origin, setting.value, "texts have no template")

    def _preferences(self, keys: Keys, found: Translation) -> None:
        loss = keys.take("pref_loss")
        if loss is None:
            return
        if found.verb == "dpo" and str(loss) in _LOSSES:
            found.set("loss_type", [_LOSSES[str(loss)]], "pref_loss")
        elif loss == "simpo":
            found.set("loss_type", "simpo", "pref_loss")
            found.set("cpo_alpha", 0.0, "pref_loss: simpo")
        elif loss == "orpo":
            found.drop("pref_loss", loss, "it is what swift orpo does")
        else:
            found.refuse("pref_loss", loss, "there is no such loss here")


def _parts(keys: Keys, found: Translation) -> None:
    """Read which parts of a vision-language model are frozen; LLaMA-Factory freezes the first two unless the file says otherwise."""
    for key, path in _PARTS.items():
        value = keys.take(key)
        if value is None:
            continue
        if found.value("tuner.name") in ("full", "lora", "qlora", "dora"):
            found.set(path, is_on(value), key)
        else:
            found.drop(key, value, "the tuner decides which weights learn")
