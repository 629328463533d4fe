"""Values of a DeepSpeed JSON file for settings that the run has too: they count where the user gave no other one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_core.contract import Settings, VerbSpec

_SCHEDULES = {"WarmupLR": "constant", "WarmupDecayLR": "linear", "WarmupCosineLR": "cosine"}
_OPTIONS = {  # keys of the file → options of the run
    ("train_micro_batch_size_per_gpu",): "batch_size",
    ("gradient_accumulation_steps",): "gradient_accumulation_steps",
    ("gradient_clipping",): "max_grad_norm",
    ("optimizer", "params", "lr"): "learning_rate",
    ("optimizer", "params", "weight_decay"): "optimizer.weight_decay",
    ("optimizer", "params", "eps"): "optimizer.eps",
    ("scheduler", "params", "warmup_num_steps"): "warmup_steps",
    ("scheduler", "params", "total_num_steps"): "max_steps",
}


def apply(verb: VerbSpec, settings: Settings) -> Iterator[str]:
    """Set the options of a training that the file has and the user has not, and yield a note on them; a file with errors is left alone."""
    config = _config(settings.values.get("parallel"))
    if verb.main != "task" or not config:
        return
    values = {path: _at(config, key) for key, path in _OPTIONS.items()}
    betas = _at(config, ("optimizer", "params", "betas"))
    if isinstance(betas, list) and len(betas) == len(("beta1", "beta2")):
        values |= {"optimizer.beta1": betas[0], "optimizer.beta2": betas[1]}
    values["schedule"] = _SCHEDULES.get(str(_at(config, ("scheduler", "type"))))
    values["gradient_accumulation_steps"] = values["gradient_accumulation_steps"] or _accumulation(config, settings)
    prefix = "task." if verb.name == "train" else ""
    chosen = {
        path: value
        for path, value in values.items()
        if value not in (None, "auto") and not isinstance(value, dict | list) and settings.given(path) is None
        and settings.given(prefix + path) is None
    }  # fmt: skip
    for path, value in chosen.items():
        settings.set(path if path.startswith("optimizer.") else prefix + path, value)
    if chosen:
        told = ", ".join(f"--{path.replace('_', '-')} {value}" for path, value in chosen.items())
        yield f"DeepSpeed's configuration sets {told}, which the command does not"


def _config(parallel: Any) -> Mapping[str, Any]:
    """Return the configuration that the choice of a strategy names or has; {} if there is none that can be read."""
    given = parallel.get("config") if isinstance(parallel, Mapping) else None
    if isinstance(given, str):
        try:
            given = json.loads(Path(given).expanduser().read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
    return given if isinstance(given, Mapping) else {}


def _at(config: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    node: Any = config
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _accumulation(config: Mapping[str, Any], settings: Settings) -> int | None:
    """Return the accumulation that a total batch size asks for, if it is a multiple of the rows of all processes."""
    whole = config.get("train_batch_size")
    rows = config.get("train_micro_batch_size_per_gpu")
    rows = settings.given("batch_size") if rows in (None, "auto") else rows
    processes = [settings.given(name) or 1 for name in ("processes", "nodes")]
    numbers = [whole, rows or 4, *processes]
    if not all(isinstance(number, int) or str(number).isdecimal() for number in numbers):
        return None
    total, *parts = (int(str(number)) for number in numbers)
    step = parts[0] * parts[1] * parts[2]
    return total // step if total % step == 0 else None
