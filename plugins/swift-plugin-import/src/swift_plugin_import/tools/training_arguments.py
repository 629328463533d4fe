"""transformers' TrainingArguments as JSON, and what the tools that pass them on have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from swift_plugin_import import parallel, shared
from swift_plugin_import.importer import TableImporter
from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.source import Source
from swift_plugin_import.translation import Translation

_FEW = 3  # typical keys that are enough if no other tool has more


class TrainingArguments(TableImporter):
    """Imports a JSON or YAML file with TrainingArguments and nothing else."""

    name: ClassVar[str] = "training-arguments"

    def probe(self, source: Source) -> float:
        """Return little: other tools have these keys too."""
        found = super().probe(source)
        return 0.5 if found >= _FEW else 0

    def arrange(self, keys: Keys, found: Translation, source: Source) -> None:
        """Read what depends on other keys."""
        if "model" not in found.settings and not {"model", "model_name_or_path"} & keys.left().keys():
            found.notes.append("the file names no model and no dataset: give them with --model and --dataset")
        arrange(keys, found, source)


def arrange(keys: Keys, found: Translation, source: Source) -> None:
    """Read the TrainingArguments that depend on others."""
    shared.optimizer(keys, found)
    shared.optimizer_arguments(keys, found)
    shared.schedule(keys, found)
    shared.schedule_arguments(keys, found)
    shared.length_of_run(keys, found)
    shared.precision(keys, found)
    shared.moments(keys, found)
    shared.checkpointing(keys, found)
    shared.resuming(keys, found)
    shared.other_code(keys, found)
    parallel.fsdp(keys, found)
    if "deepspeed" in keys:
        parallel.deepspeed(keys.take("deepspeed"), found, source)
    _seeds(keys, found)
    _reports(keys, found)
    _order(keys, found)
    for key in ("use_cpu", "no_cuda"):
        shared.switch(keys, found, key, "device", "cpu")
    limit = shared.number(keys, found, "save_total_limit")
    if limit is not None and limit > 0:
        found.set("save_total_limit", int(limit), "save_total_limit")
    elif limit is not None:
        found.drop("save_total_limit", limit, "it is switched off")


def _order(keys: Keys, found: Translation) -> None:
    """Read the order of the rows."""
    value = keys.take("train_sampling_strategy")
    if value == "group_by_length":
        found.set("group_by_length", True, "train_sampling_strategy")
    elif value == "sequential":
        found.set("shuffle", False, "train_sampling_strategy")
    elif value is not None:
        found.drop("train_sampling_strategy", value, "rows are shuffled in each epoch")


def _seeds(keys: Keys, found: Translation) -> None:
    seed, data = keys.get("seed"), keys.take("data_seed")
    if data is not None and (seed is None or seed == data):
        found.set("seed", data, "data_seed")
    elif data is not None:
        found.refuse("data_seed", data, "the seed of the data order is that of the run")


def _reports(keys: Keys, found: Translation) -> None:
    value: Any = keys.get("report_to")
    if value is not None and not is_on([item for item in value if item not in ("none", None)] if isinstance(value, list) else value):
        found.drop("report_to", keys.take("report_to"), "it is switched off")
