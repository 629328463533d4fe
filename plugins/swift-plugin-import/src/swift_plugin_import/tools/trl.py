"""TRL: YAML files for `trl … --config`, and command lines of `trl` and of its scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, ClassVar

from swift_plugin_import import parallel, rollouts, shared
from swift_plugin_import.importer import TableImporter
from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.shell import Command
from swift_plugin_import.source import Source
from swift_plugin_import.tools import training_arguments
from swift_plugin_import.translation import Translation

_TASKS = ("sft", "dpo", "kto", "orpo", "cpo", "grpo", "rloo", "reward", "gkd", "bco", "prm", "online_dpo", "ppo", "xpo", "nash_md")
_LAUNCHERS = ("accelerate", "torchrun", "deepspeed", "python", "python3", "uv", "trl")
_SWITCHES = {"multi_gpu", "use_deepspeed", "use_fsdp", "standalone", "m", "module"}
_TYPICAL = ("dataset_name", "dataset", "model_name_or_path", "per_device_train_batch_size", "use_peft", "output_dir", "config")


class Trl(TableImporter):
    """Imports a file of TRL."""

    name: ClassVar[str] = "trl"

    def probe(self, source: Source) -> float:
        """Count typical keys, or recognise command lines."""
        return 50 if any(_run(command) for command in source.commands) else super().probe(source)

    def read(self, source: Source) -> Sequence[Translation]:
        """Translate the file, or each command line."""
        if not source.commands:
            return super().read(source)
        found = []
        for command in source.commands:
            if run := _run(command):
                task, values = run
                if file := source.file(values.pop("config", None)):
                    values = {**(Source.read(file).values or {}), **values}
                found.append(self.translate(Keys({"trl_task": task, **values}), source))
        return found

    def defaults(self, found: Translation) -> dict[str, Any]:
        """Return the defaults of the trainer, and those of LoRA if it is used."""
        own = super().defaults(found)
        if found.verb == "sft" and found.value("tuner.name") in ("lora", "qlora", "dora"):
            own |= {"tuner.rank": 16, "tuner.alpha": 32, "tuner.dropout": 0.05}
        if found.verb != "sft":
            own |= {"learning_rate": 1e-6}
        if found.verb in ("reward", "rm", "seq-cls", *rollouts.VERBS):
            own.pop("truncation", None)  # prompts, and rows whose score is read at the last token, are never cut there
        if found.verb in rollouts.VERBS:
            own.pop("max_length", None)
            own |= {"max_completion_length": 512}
            if found.value("rollout.name") == "vllm":
                own |= {"importance_sampling_correction": "sequence_mask", "importance_sampling_max": 3.0}
        return own

    def arrange(self, keys: Keys, found: Translation, source: Source) -> None:
        """Choose verb and tuner, and read the data set, masks and parallelism."""
        task = str(keys.take("trl_task", "sft" if "beta" not in keys else "dpo"))
        found.verb = self.verb(task)
        if found.verb != "sft" and "loss_type" in keys:
            loss = keys.take("loss_type")
            found.set("loss_type", loss if found.verb != "dpo" or isinstance(loss, list) else [loss], "loss_type")
        elif keys.get("loss_type") == "nll":
            found.drop("loss_type", keys.take("loss_type"), "it is the default")
        if found.verb in rollouts.VERBS:
            rollouts.arrange(keys, found)
        self._tuner(keys, found)
        self._rows(keys, found)
        self._masks(keys, found)
        if "attn_implementation" in keys:
            shared.attention("attn_implementation", keys.take("attn_implementation"), found)
        cut = keys.take("truncation_mode")
        if cut in ("keep_start", "keep_end"):
            found.set("truncation", "right" if cut == "keep_start" else "left", "truncation_mode")
        elif cut is not None:
            found.refuse("truncation_mode", cut, "rows are cut at one of their ends: keep_start or keep_end")
        revision = keys.take("model_revision")
        if revision not in (None, "main") and "model_name_or_path" in keys:
            found.set("model", f"hf:{keys.take('model_name_or_path')}@{revision}", "model_name_or_path, model_revision")
        elif revision is not None:
            found.drop("model_revision", revision, "it is the default")
        for key in ("accelerate_config", "config_file"):
            if key in keys:
                self._accelerate(key, keys.take(key), found, source)
        training_arguments.arrange(keys, found, source)
        if found.value("gradient_checkpointing") is False:
            found.notes.append("gradient_checkpointing is switched off, as in the file; TRL's default is on")

    def _tuner(self, keys: Keys, found: Translation) -> None:
        peft = keys.take("use_peft")
        found.set("tuner.name", "lora" if is_on(peft) else "full", "use_peft" if peft is not None else "no use_peft")
        if is_on(keys.take("use_dora")):
            found.set("tuner.name", "dora", "use_dora")
        targets = keys.take("lora_target_modules")
        if targets is not None:
            found.set("tuner.targets", targets, "lora_target_modules")
        four, eight = keys.take("load_in_4bit"), keys.take("load_in_8bit")
        for key, value, number in (("load_in_4bit", four, 4), ("load_in_8bit", eight, 8)):
            if is_on(value):
                shared.bits(number, found, key, adapter=is_on(peft))
            elif value is not None:
                found.drop(key, value, "it is the default")
        if not is_on(four):
            for key in ("use_bnb_nested_quant", "bnb_4bit_quant_type", "bnb_4bit_compute_dtype"):
                if key in keys:
                    found.drop(key, keys.take(key), "nothing is quantized to 4 bits")
        elif "use_bnb_nested_quant" not in keys:
            found.set("quantizer.double_quantization", False, "default of use_bnb_nested_quant")
        if found.value("tuner.name") == "qlora" and {"bnb_4bit_quant_type", "use_bnb_nested_quant"} & keys.left().keys() | {
            path for path in found.settings if path.startswith("quantizer.")
        }:
            found.set("quantizer.name", "bnb", "load_in_4bit")
        if not is_on(peft):
            for key in [key for key in keys.left() if key.startswith("lora_") or key in ("use_rslora",)]:
                found.drop(key, keys.take(key), "no adapter is trained: use_peft is not set")
            shared.no_tuner_options(found)

    def _rows(self, keys: Keys, found: Translation) -> None:
        name = keys.take("dataset_name", keys.take("dataset"))
        mixture = keys.take("datasets")
        if isinstance(mixture, list):
            chosen = [self._mixed(item, found) for item in mixture]
            found.set("dataset", chosen, "datasets")
        config, split = keys.take("dataset_config"), keys.take("dataset_train_split", "train")
        test = keys.take("dataset_test_split")
        if name is not None:
            options = {**({"subset": config} if config else {}), **({"split": split} if split != "train" else {})}
            columns = self._text(keys, found)
            item = {"name": str(name), **options, **({"columns": columns} if columns else {})}
            found.set("dataset", [item if len(item) > 1 else str(name)], "dataset_name")
            evaluated = keys.get("eval_strategy", keys.get("evaluation_strategy", "no")) not in ("no", False)
            if evaluated and ("/" in str(name)):
                held = {**item, "split": test or "test"}
                found.set("val_dataset", [held], "dataset_test_split" if test else "eval_strategy, with the default of dataset_test_split")
                return
        if test is not None:
            found.drop("dataset_test_split", test, "nothing is evaluated: eval_strategy is 'no'")
        for key in ("eval_strategy", "eval_steps"):
            if key in keys and not is_on(keys.get(key)):
                found.drop(key, keys.take(key), "it is switched off")

    def _mixed(self, item: Any, found: Translation) -> Any:
        names = {"path": "name", "name": "subset", "split": "split", "columns": "columns"}
        chosen: dict[str, Any] = {}
        for key, value in item.items() if isinstance(item, dict) else ():
            if key not in names:
                found.refuse(f"datasets.{key}", value, "no such key is known")
            elif key == "columns":
                found.drop("datasets.columns", value, "rows are read by their columns")
            elif not (key == "split" and value == "train"):
                chosen[names[key]] = value
        return chosen["name"] if list(chosen) == ["name"] else chosen

    def _text(self, keys: Keys, found: Translation) -> dict[str, str]:
        field = keys.take("dataset_text_field")
        if field in (None, "text", "messages", "prompt"):
            if field:
                found.drop("dataset_text_field", field, "rows are read by their columns")
            if field == "text" and found.verb == "sft":
                found.verb = "pretrain"
                found.notes.append("dataset_text_field: rows of plain text are trained by swift pretrain")
            return {}
        found.verb = "pretrain" if found.verb == "sft" else found.verb
        found.notes.append(f"dataset_text_field: '{field}' is read as text, which swift pretrain trains on")
        return {str(field): "text"}

    def _masks(self, keys: Keys, found: Translation) -> None:
        assistant, completion = keys.take("assistant_only_loss"), keys.take("completion_only_loss")
        for key, value in (("assistant_only_loss", assistant), ("completion_only_loss", completion)):
            if is_on(value):
                found.drop(key, value, "the assistant's turns are supervised by default")
        off = next((key for key, value in (("assistant_only_loss", assistant), ("completion_only_loss", completion)) if value is False), "")
        if off and found.verb == "sft":
            found.set("mask.turns", "everything", off)
        elif off:
            found.drop(off, False, "all of a text is supervised")
        elif found.verb == "sft" and not is_on(assistant) and not is_on(completion):
            text = "TRL supervises every message of a conversation unless assistant_only_loss is set, swift the assistant's"
            found.notes.append(f"{text}. As in TRL: mask: {{turns: everything}}")

    def _accelerate(self, key: str, value: Any, found: Translation, source: Source) -> None:
        """Read a configuration file of accelerate, or the name of one."""
        file = source.file(value)
        config = (Source.read(file).values or {}) if file else {}
        name = PurePath(str(value)).stem
        kind = str(config.get("distributed_type", "") or name).lower()
        if "deepspeed" in kind or "zero" in kind:
            stage = (config.get("deepspeed_config") or {}).get("zero_stage")
            parallel.deepspeed(f"zero{stage}" if stage is not None else name, found, source, origin=key)
        elif "fsdp" in kind:
            parallel.fsdp(Keys({"fsdp": "full_shard", "fsdp_config": config.get("fsdp_config") or {}}), found)
        elif kind in ("multi_gpu", "no", "single_gpu"):
            found.drop(key, value, "data parallelism is the default")
        else:
            found.refuse(key, value, "a configuration of accelerate: there is no such file")
        if processes := config.get("num_processes"):
            found.set("processes", processes, f"{key}: num_processes")


def _run(command: Command) -> tuple[str, dict[str, Any]] | None:
    """Return the task and the flags of a command line of TRL; None if it is none."""
    words = command.words
    program = PurePath(words[0]).name
    if program == "trl" and len(words) > 1 and words[1].replace("-", "_") in _TASKS:
        return words[1].replace("-", "_"), _with_processes(command.flags(2), command)
    at = next((at for at, word in enumerate(words) if word.endswith(".py")), 0)
    if program not in _LAUNCHERS or not at:
        return None
    flags = command.flags(at + 1)
    stem = PurePath(words[at]).stem.replace("-", "_")
    task = next((task for task in _TASKS if stem == task or stem.startswith((f"{task}_", f"run_{task}")) or stem.endswith(f"_{task}")), "")
    if not task and len(flags.keys() & set(_TYPICAL)) < 3:
        return None
    launch = {key: value for key, value in Command(words[:at]).flags(1).items() if key not in _SWITCHES}
    return task or "sft", _with_processes({**launch, **flags}, command)


def _with_processes(flags: dict[str, Any], command: Command) -> dict[str, Any]:
    number = command.variables.get("NPROC_PER_NODE")
    return {"nproc_per_node": number, **flags} if number else flags
