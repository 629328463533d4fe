"""lm-eval's task files for local data: one YAML file per subset, which includes lm-eval's own and names the local folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_evaluate.prepare import FORMATS, PreparedBenchmark
from swift_evaluate.roles import Evaluation

RUNS_CODE = frozenset({"humaneval", "humaneval_plus", "mbpp", "mbpp_plus"})
_TASKS: Mapping[str, Callable[[str], str]] = {  # benchmark: subset → lm-eval's task
    "arc": lambda subset: subset.lower().replace("-", "_"),
    "ceval": lambda subset: f"ceval-valid_{subset}",
    "cmmlu": lambda subset: f"cmmlu_{subset}",
    "gsm8k": lambda subset: "gsm8k",
    "hellaswag": lambda subset: "hellaswag",
    "ifeval": lambda subset: "ifeval",
    "mmlu": lambda subset: f"mmlu_{subset}",
}
_CHOICES = {  # a task of our own for multiple-choice data; lm-eval has none for CMNLI
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}\nA. {{A}}\nB. {{B}}\nC. {{C}}\n答案：",
    "doc_to_choice": ["A", "B", "C"],
    "doc_to_target": "{{['A', 'B', 'C'].index(answer)}}",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    "num_fewshot": 0,
    "metadata": {"version": 1.0},
}
LOCAL = frozenset({*_TASKS, "cmnli"})
_SPLITS = {"train": "training_split", "validation": "validation_split", "val": "validation_split", "test": "test_split"}


@dataclass(frozen=True, slots=True)
class LocalTask:
    """A task file: `name` is lm-eval's task, `config` the content of the file, `own` the file of lm-eval that it includes (task name)."""

    name: str
    config: Mapping[str, Any]
    includes: str = ""  # lm-eval's task whose file it includes


def local_tasks(found: PreparedBenchmark, asked: Evaluation) -> list[LocalTask]:
    """Return the task files for the subsets of a prepared benchmark."""
    form = FORMATS[found.name]
    splits: dict[str, Any] = dict.fromkeys(("training_split", "validation_split", "test_split"))
    splits |= {_SPLITS[found.split] if found.name != "ifeval" else "test_split": found.split}
    splits["fewshot_split"] = form.few_shot if found.has_few_shot else None
    shots = asked.few_shot if asked.few_shot is not None else None if found.has_few_shot else 0
    tasks = []
    for subset in found.subsets:
        name = _TASKS[found.name](subset) if found.name in _TASKS else f"{found.name}_{subset}"
        shared = {"task": name, "dataset_path": str(found.folder.resolve()), "dataset_name": subset, **splits}
        if shots is not None:
            shared["num_fewshot"] = shots
        own = found.name in _TASKS
        tasks.append(LocalTask(name, shared if own else {**_CHOICES, **shared}, name if own else ""))
    return tasks


def write_task(task: LocalTask, folder: Path, included: Path | None) -> Path:
    """Write a task file (JSON is YAML), and return its path."""
    config = {**({"include": str(included)} if included else {}), **task.config}
    path = folder / f"{task.name}.yaml"
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")
    return path
