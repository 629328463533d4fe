"""ms-swift: command lines of shell scripts (`swift sft …`, `megatron sft …`), and its YAML and JSON files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, ClassVar

from swift_plugin_import import shared
from swift_plugin_import.importer import TableImporter
from swift_plugin_import.keys import Keys, is_on, scalar
from swift_plugin_import.shell import Command
from swift_plugin_import.source import Source
from swift_plugin_import.tools import training_arguments
from swift_plugin_import.tools.dataset_info import split_names
from swift_plugin_import.translation import Translation, is_secret

_VERBS = ("sft", "pt", "rlhf", "infer", "deploy", "export", "eval", "rollout", "sample", "app", "web-ui", "merge-lora")
_TRAINING = ("sft", "pt", "rlhf")
_NOT_TRAINING = ("infer", "serve", "export", "merge", "quantize", "ask", "eval")
_ROWS_PER_STEP = 16  # ms-swift accumulates gradients up to this number of rows by default
_NUMBERS = {"NPROC_PER_NODE": "processes", "NNODES": "nodes"}
_MEDIA = ("MAX_PIXELS", "MIN_PIXELS", "VIDEO_", "IMAGE_", "FPS", "NFRAMES", "MAX_NUM", "SIZE_FACTOR", "MAX_SLICE_NUMS")
_ENVIRONMENT = (
    "CUDA_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES", "PYTORCH_", "NCCL_", "OMP_", "TORCH", "HF_", "MASTER_", "NODE_RANK",
    "CELOSS_PARALLEL_SIZE",
)  # fmt: skip
_BACKENDS = {"pt": "transformers"}


class MsSwift(TableImporter):
    """Imports a script or a file of ms-swift."""

    name: ClassVar[str] = "ms-swift"

    def probe(self, source: Source) -> float:
        """Recognise command lines, or count typical keys."""
        return 60 if any(_run(command) for command in source.commands) else super().probe(source)

    def read(self, source: Source) -> Sequence[Translation]:
        """Translate each command line, or the file."""
        found = []
        for command in source.commands:
            if run := _run(command):
                program, verb, values = run
                file = source.file(values.pop("config", None) or next(iter(command.positional(2)), None))
                own = (Source.read(file).values or {}) if file and file.suffix in (".yaml", ".yml", ".json") else {}
                keys = Keys({**own, **values, "program": program, "verb": verb, "environment": _variables(command)})
                found.append(self.translate(keys, source))
        return found or super().read(source)

    def defaults(self, found: Translation) -> dict[str, Any]:
        """Return the defaults of a training; other verbs have none."""
        if found.verb in _NOT_TRAINING:
            return {}
        own = super().defaults(found)
        if found.value("tuner.name", "lora") in ("full", "freeze"):
            own["learning_rate"] = 1e-5
        if found.value("parallel.name") == "megatron":
            return {path: own[path] for path in ("epochs",)}
        processes = found.value("processes", 1) * found.value("nodes", 1)
        rows = found.value("batch_size", own["batch_size"]) * processes
        own["gradient_accumulation_steps"] = max(1, -(-_ROWS_PER_STEP // rows))
        if found.verb == "sft" and "max_length" in found.settings:
            own["truncation"] = "drop"
        return own

    def arrange(self, keys: Keys, found: Translation, source: Source) -> None:
        """Choose the verb, and read environment, data sets, tuner, quantization and parallelism."""
        program, verb = str(keys.take("program", "swift")), str(keys.take("verb", source.verb if source.verb == "sample" else ""))
        kind = keys.take("rlhf_type") if verb in ("", "rlhf") else None
        found.verb = self.verb(str(kind or ("dpo" if verb == "rlhf" else verb or "sft")))
        environment = keys.take("environment") or {}
        self._environment(environment, found)
        if found.verb == "dpo" and isinstance(keys.get("loss_type"), str):
            found.set("loss_type", [keys.take("loss_type")], "loss_type")
        hub = keys.take("use_hf", scalar(environment.get("USE_HF", "")) or None)
        if not is_on(hub):
            found.set("hub", "ms", "use_hf" if hub is not None else "default of ms-swift: ModelScope")
        else:
            found.drop("use_hf", hub, "it is the default")
        if found.verb == "export":
            self._export(keys, found)
        self._tuner(keys, found)
        self._rows(keys, found)
        if program == "megatron" and verb in _TRAINING:
            self._megatron(keys, found)
        if "attn_impl" in keys:
            shared.attention("attn_impl", keys.take("attn_impl"), found)
        size = keys.take("sequence_parallel_size")
        if is_on(size) and size > 1:
            found.set("parallel.name", "mesh", "sequence_parallel_size")
            found.set("parallel.context", size, "sequence_parallel_size")
        elif size is not None:
            found.drop("sequence_parallel_size", size, "one process is the default")
        if backend := keys.take("infer_backend"):
            found.set("backend.name", _BACKENDS.get(str(backend), str(backend)), "infer_backend")
        training_arguments.arrange(keys, found, source)

    def _environment(self, variables: Mapping[str, str], found: Translation) -> None:
        for name, value in variables.items():
            if name in _NUMBERS and found.verb in _NOT_TRAINING:
                found.drop(name, value, "the command starts the processes that it needs")
            elif name in _NUMBERS and str(value).isdecimal():
                found.set(_NUMBERS[name], int(value), name)
            elif is_secret(name, value):
                found.drop(name, None, "a secret, which is not copied: set it in the environment")
            elif name.startswith(_MEDIA):
                found.refuse(name, value, "the size of images and videos is not an option here")
            elif name.startswith(_ENVIRONMENT):
                found.drop(name, value, "it is read from the environment of the command")

    def _export(self, keys: Keys, found: Translation) -> None:
        merge, method = keys.take("merge_lora"), keys.get("quant_method")
        if is_on(method):
            found.verb = "quantize"
            found.set("quantizer.name", str(keys.take("quant_method")), "quant_method")
            if "quant_bits" in keys:
                found.set("bits", keys.take("quant_bits"), "quant_bits")
            for key, path in (("quant_n_samples", ""), ("quant_batch_size", ""), ("max_length", "calibration.max_length")):
                if key in keys:
                    value = keys.take(key)
                    if path:
                        found.set(path, value, key)
                    else:
                        found.drop(key, value, "the calibration set is counted in tokens: calibration.tokens")
        elif is_on(merge) or ("adapters" in keys and not is_on(keys.get("to_ollama"))):
            found.verb = "merge"
        if is_on(merge) and found.verb != "merge":
            found.refuse("merge_lora", merge, "a command of its own: swift merge")
        elif merge is not None:
            found.drop("merge_lora", merge, f"it is swift {found.verb}")
        if is_on(keys.take("to_ollama")):
            found.set("exporter.name", "ollama", "to_ollama")

    def _tuner(self, keys: Keys, found: Translation) -> None:
        for key in ("train_type", "sft_type"):
            keys.rename(key, "tuner_type")
        name = keys.take("tuner_type")
        training = found.verb not in _NOT_TRAINING
        if training:
            dora = keys.take("use_dora")
            full_vit = name == "lora_llm"
            tuner = "dora" if is_on(dora) and name in (None, "lora") else "lora" if full_vit else str(name or "lora")
            if full_vit:
                found.set("tuner.full_vit", True, "tuner_type")
            found.set("tuner.name", tuner, "tuner_type" if name else f"default of {self.title}")
        elif name is not None:
            found.drop("tuner_type", name, "it is read from the adapter")
        if training and (method := keys.take("quant_method")):
            bits = keys.take("quant_bits", 4)
            if method in ("bnb", "bitsandbytes"):
                shared.bits(bits, found, "quant_method")
            else:
                found.refuse("quant_method", method, "weights are quantized by bitsandbytes while loading")
        targets = keys.take("target_modules")
        if targets is not None:
            found.set("tuner.targets", targets, "target_modules")
        adapters = [*split_names(keys.take("adapters")), *split_names(keys.take("resume_from_adapters"))]
        if adapters:
            found.set("adapter", adapters, "adapters")
        if found.value("tuner.name") in ("full", "freeze"):
            for key in ("lora_rank", "lora_alpha", "lora_dropout", "target_modules"):
                if key in keys:
                    found.drop(key, keys.take(key), "no adapter is trained")
            shared.no_tuner_options(found)

    def _rows(self, keys: Keys, found: Translation) -> None:
        name, author = keys.take("model_name"), keys.take("model_author")
        for key in ("dataset", "val_dataset"):
            asked = keys.take(key)
            if asked is None:
                continue
            chosen = [self._dataset(str(item), name, author) for item in (asked if isinstance(asked, list) else [asked])]
            path = "dataset" if key == "dataset" or found.verb in ("infer", "ask") else "val_dataset"
            found.set(path, chosen, key)
        if name is not None and "identity" not in str(found.value("dataset", "")):
            found.drop("model_name", name, "no data set states the name of the model")
            found.drop("model_author", author, "no data set states the author of the model")

    def _dataset(self, text: str, name: Any, author: Any) -> Any:
        place, mark, count = text.rpartition("#") if "#" in text else (text, "", "")
        if PurePath(place.partition(":")[0]).name == "self-cognition":
            states = {"model_name": _first(name) or "{{name}}", "model_author": _first(author) or "{{author}}"}
            return {"name": f"identity{mark}{count}", **states}
        scheme, colon, rest = place.partition("::")
        return f"{scheme.lower()}:{rest}{mark}{count}" if colon and scheme.lower() in ("hf", "ms") else text

    def _megatron(self, keys: Keys, found: Translation) -> None:
        """Read the batches, the recomputation and the weights of a command line of megatron."""
        found.set("parallel.name", "megatron", "megatron")
        sizes = [keys.get(f"{name}_parallel_size", 1) for name in ("tensor_model", "pipeline_model", "context")]
        processes = found.value("processes", 1) * found.value("nodes", 1)
        replicas = max(1, processes // (sizes[0] * sizes[1] * sizes[2]))
        total, micro = keys.take("global_batch_size", 16), keys.get("micro_batch_size", 1)
        if total % (micro * replicas) == 0:
            origin = f"global_batch_size {total} / (micro_batch_size {micro} × {replicas} replicas)"
            found.set("gradient_accumulation_steps", total // (micro * replicas), origin)
        else:
            found.refuse("global_batch_size", total, f"micro_batch_size {micro} × {replicas} replicas do not divide it")
        granularity = keys.take("recompute_granularity")
        if granularity is not None:
            found.set("gradient_checkpointing", granularity not in ("none", False), "recompute_granularity")
        if is_on(keys.get("merge_lora")):
            found.refuse("merge_lora", keys.take("merge_lora"), "a command of its own: swift merge")


def _run(command: Command) -> tuple[str, str, dict[str, Any]] | None:
    """Return the program, the verb and the flags of a command line of ms-swift; None if it is none."""
    words = command.words
    program = PurePath(words[0]).name
    at = 1
    if program in ("python", "python3", "torchrun", "accelerate", "deepspeed"):
        at = next((at for at, word in enumerate(words) if PurePath(word).suffix == ".py" and "swift/cli" in word.replace("\\", "/")), 0)
        if not at:
            return None
        verb = PurePath(words[at]).stem.replace("_", "-")
        return ("swift", verb, command.flags(at + 1)) if verb in _VERBS else None
    if program not in ("swift", "megatron") or len(words) < 2 or words[1].replace("_", "-") not in _VERBS:
        return None
    return program, words[1].replace("_", "-"), command.flags(2)


def _first(value: Any) -> str:
    """Return the first of several values (a name in two languages), as text."""
    return str(value[0] if isinstance(value, list) and value else value or "")


def _variables(command: Command) -> dict[str, str]:
    """Return the variables of a command line that tools read: those in capitals."""
    return {name: value for name, value in command.variables.items() if name.isupper()}
