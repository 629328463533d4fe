"""For tests of evaluators: an `Evaluation` that keeps the recorded items in a list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from swift_evaluate.roles import Evaluation, Item


def evaluation(folder: Path, *tasks: str, **fields: Any) -> tuple[Evaluation, list[Item]]:
    """Return what an evaluator is asked, and the list of the items that it will have recorded.

    Args:
        folder: for the evaluator's own files; made if it does not exist.
        tasks: the tasks to run.
        fields: further fields of the `Evaluation`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    items: list[Item] = []
    return Evaluation(folder=folder, record=items.append, tasks=tasks, **fields), items


def means(items: Iterable[Item]) -> Mapping[str, Mapping[str, float]]:
    """Return the mean of each metric of each task, over the items that have it."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        for metric, score in item.scores.items():
            found[item.task][metric].append(score)
    return {task: {metric: sum(scores) / len(scores) for metric, scores in metrics.items()} for task, metrics in found.items()}
