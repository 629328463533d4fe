"""Unsloth: Python scripts and notebooks. The calls are found in the syntax tree; no code is executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from swift_plugin_import import shared
from swift_plugin_import.importer import TableImporter
from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.source import Source
from swift_plugin_import.tools import training_arguments
from swift_plugin_import.translation import Translation

_MODELS = ("FastLanguageModel", "FastModel", "FastVisionModel")
_CONFIGS = ("SFTConfig", "TrainingArguments", "UnslothTrainingArguments", "DPOConfig", "ORPOConfig")
_TRAINERS = {
    "SFTTrainer": "sft", "UnslothTrainer": "sft", "DPOTrainer": "dpo", "ORPOTrainer": "orpo", "GRPOTrainer": "grpo", "KTOTrainer": "kto",
    "CPOTrainer": "cpo",
}  # fmt: skip
_UNKNOWN = object()  # the value of an expression that only running the code would tell
_COMPLETION_ONLY = "train_on_responses_only"


class Unsloth(TableImporter):
    """Imports a script or a notebook of Unsloth."""

    name: ClassVar[str] = "unsloth"

    def probe(self, source: Source) -> float:
        """Recognise the calls of its model classes."""
        calls = _Calls(source.python)
        return 100 if calls.of("from_pretrained", owners=_MODELS) or calls.of("get_peft_model", owners=_MODELS) else 0

    def read(self, source: Source) -> Sequence[Translation]:
        """Translate the arguments of the calls."""
        calls = _Calls(source.python)
        trainer = next((name for name in _TRAINERS if calls.of(name)), "SFTTrainer")
        values: dict[str, Any] = {"trl_task": _TRAINERS[trainer], "completion_only": bool(calls.of(_COMPLETION_ONLY))}
        unknown: dict[str, str] = {}
        adapted = calls.of("get_peft_model", owners=_MODELS)
        for call in (*calls.of("from_pretrained", owners=_MODELS)[:1], *adapted[:1]):
            calls.arguments(call, values, unknown)
        values["adapted"] = bool(adapted)
        for name in (*_CONFIGS, trainer):
            for call in calls.of(name)[:1]:
                calls.arguments(call, values, unknown)
        loaded = calls.of("load_dataset")
        if loaded:
            places: dict[str, Any] = {}
            calls.arguments(loaded[0], places, unknown, names=("path", "name"))
            values |= {f"load_dataset_{key}": value for key, value in places.items()}
        found = self.translate(Keys(values), source)
        for key, code in unknown.items():
            if key in ("model", "tokenizer", "processing_class", "train_dataset", "args", "data_collator", "formatting_func"):
                continue
            if key in ("bf16", "fp16", "dtype", "output_dir", "device_map", "eval_dataset", "callbacks"):
                found.drop(key, code, "an expression that is not executed; the default is used")
            else:
                found.refuse(key, code, "an expression that is not executed: give its value")
        return [found]

    def defaults(self, found: Translation) -> dict[str, Any]:
        """Return the defaults, with those of get_peft_model if an adapter is trained."""
        own = super().defaults(found)
        if found.value("tuner.name") in ("lora", "qlora"):
            own |= {"tuner.rank": 16, "tuner.alpha": 16, "tuner.dropout": 0.0}
        return own

    def arrange(self, keys: Keys, found: Translation, source: Source) -> None:
        """Choose verb and tuner, and read rows and seeds."""
        found.verb = self.verb(str(keys.take("trl_task")))
        adapted, full = keys.take("adapted"), keys.take("full_finetuning")
        found.set("tuner.name", "lora" if adapted and not is_on(full) else "full", "get_peft_model" if adapted else "no get_peft_model")
        four, eight = keys.take("load_in_4bit"), keys.take("load_in_8bit")
        if is_on(eight):
            shared.bits(8, found, "load_in_8bit", adapter=bool(adapted))
        elif is_on(four) or (four is None and adapted and not is_on(full)):
            shared.bits(4, found, "load_in_4bit" if four else "default of load_in_4bit", adapter=bool(adapted))
        elif four is not None:
            found.drop("load_in_4bit", four, "it is the default")
        checkpointing = keys.take("use_gradient_checkpointing")
        if checkpointing is not None:
            found.set("gradient_checkpointing", is_on(checkpointing), "use_gradient_checkpointing")
        seed = keys.take("random_state")
        if seed is not None and "seed" not in keys:
            found.set("seed", seed, "random_state")
        elif seed is not None:
            found.drop("random_state", seed, "seed is that of the adapter's weights too")
        self._rows(keys, found)
        training_arguments.arrange(keys, found, source)

    def _rows(self, keys: Keys, found: Translation) -> None:
        only, name = keys.take("completion_only"), keys.take("load_dataset_path")
        subset, split = keys.take("load_dataset_name"), str(keys.take("load_dataset_split", "train"))
        if only:
            found.drop(_COMPLETION_ONLY, None, "the assistant's turns are supervised by default")
        elif found.verb == "sft":
            found.notes.append(f"without {_COMPLETION_ONLY} every message is supervised; as there: mask: {{turns: everything}}")
        files = keys.take("load_dataset_data_files")
        if name in ("json", "csv", "parquet") and isinstance(files, str):
            name = files
        if name is None:
            found.notes.append("the script names no data set that can be read: give it with --dataset")
            return
        split, bracket, part = split.partition("[")
        item = {"name": str(name), **({"subset": subset} if subset else {}), **({"split": split} if split != "train" else {})}
        if bracket and (count := part.strip("[]").removeprefix(":")).isdecimal():
            item["name"] += f"#{count}"
        elif bracket:
            found.refuse("load_dataset.split", f"{split}[{part}", "a number of rows is written name#500")
        found.set("dataset", [item if len(item) > 1 else item["name"]], "load_dataset")
        found.notes.append("dataset: rows are read by their columns; functions that map them are not executed")


class _Calls:
    """The calls in a syntax tree, and the values of their arguments, as far as these are constants."""

    def __init__(self, tree: ast.Module | None) -> None:
        self._nodes = list(ast.walk(tree)) if tree else []
        self._names: dict[str, Any] = {}
        for node in self._nodes:
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                value = self._value(node.value)
                if value is not _UNKNOWN:
                    self._names.setdefault(node.targets[0].id, value)

    def of(self, name: str, *, owners: Sequence[str] = ()) -> list[ast.Call]:
        """Return the calls of a function or method, in the order of the text."""
        found = [node for node in self._nodes if isinstance(node, ast.Call) and _is(node.func, name, owners)]
        return sorted(found, key=lambda node: node.lineno)

    def arguments(self, call: ast.Call, values: dict[str, Any], unknown: dict[str, str], *, names: Sequence[str] = ()) -> None:
        """Add the arguments of a call to `values`, or their code to `unknown`."""
        for key, node in self._given(call, names):
            value = self._value(node)
            if value is not _UNKNOWN:
                values[key] = value
            else:
                unknown[key] = ast.unparse(node)

    def _given(self, call: ast.Call, names: Sequence[str]) -> Iterator[tuple[str, ast.expr]]:
        yield from zip(names, call.args, strict=False)
        for keyword in call.keywords:
            if keyword.arg:
                yield keyword.arg, keyword.value

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            return self._names.get(node.id, _UNKNOWN)
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return _UNKNOWN


def _is(node: ast.expr, name: str, owners: Sequence[str]) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == name and (not owners or (isinstance(node.value, ast.Name) and node.value.id in owners))
    return isinstance(node, ast.Name) and node.id == name and not owners
