"""Compare evaluations question by question: what they have in common, and the paired statistics of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError, suggestion
from swift_evaluate import scores
from swift_evaluate.paired_statistics import Paired, paired
from swift_evaluate.records import FILE, read_items
from swift_evaluate.roles import Item

_LEFT_OUT = ("tasks", "limit")  # settings that show in the questions that both have


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two evaluations: the paired statistics by task and metric, and notes on what was left out or differs."""

    baseline: Path  # run folder of the evaluation that is compared with
    other: Path  # run folder of the evaluation that is compared
    results: dict[str, dict[str, Paired]]  # task -> metric -> paired statistics
    notes: list[str] = field(default_factory=list)  # items that are left out, and settings that differ

    def failures(self, tolerance: float) -> list[str]:
        """Return `task.metric` of each score that is worse by more than the tolerance, and not within noise."""
        return [
            f"{task}.{metric}"
            for task, metrics in self.results.items()
            for metric, found in metrics.items()
            if found.verdict == "worse" and abs(found.difference) > tolerance
        ]


def compare(baseline: Path | str, other: Path | str, *, metrics: Iterable[str] = (), seed: int = 0) -> Comparison:
    """Compare two evaluations on the questions that both have answered.

    Args:
        baseline: a run folder of `swift eval`, or its `scores.json`.
        other: the evaluation to compare with it.
        metrics: names of the metrics to compare; all by default.
        seed: seed of the bootstrap.

    Raises:
        UsageError: there are no items, or the evaluations have no question in common.
    """
    folders = [_folder(Path(baseline)), _folder(Path(other))]
    records = [_record(folder) for folder in folders]
    items = [_by_file_name(read_items(folder)) for folder in folders]
    notes = _settings(*records)
    kept, left_out = _common(*items)
    notes += left_out
    first, second = (scores.per_question(item for item in each if (item.task, item.id) in kept) for each in items)
    lower = {name for record in records for name in record.get("lower_is_better", ())}
    wanted = set(metrics)
    results: dict[str, dict[str, Paired]] = {}
    for task, before in first.items():
        for metric, questions in before.items():
            after = second.get(task, {}).get(metric, {})
            ids = sorted(questions.keys() & after.keys())
            if ids and (not wanted or metric in wanted):
                before_scores, after_scores = ([side[name][0] for name in ids] for side in (questions, after))
                groups = [questions[name][1] for name in ids]
                found = paired(before_scores, after_scores, groups, lower_is_better=metric in lower, seed=seed)
                results.setdefault(task, {})[metric] = found
    where = f"{folders[0]}, {folders[1]}"
    known = {name for each in first.values() for name in each} & {name for each in second.values() for name in each}
    if unknown := sorted(wanted - known) if known else []:
        hint = f"{suggestion(unknown[0], known)} Metrics: {', '.join(sorted(known))}.".strip()
        raise UsageError(f"the evaluations have no metric '{unknown[0]}' in common", code="EVAL-118", where=where, hint=hint)
    if not results:
        raise UsageError(
            "the evaluations have no scored question in common",
            code="EVAL-011",
            where=where,
            hint="; ".join([*notes[:3], *(["…"] if len(notes) > 3 else [])]),
        )
    return Comparison(folders[0], folders[1], results, notes)


def _folder(path: Path) -> Path:
    folder = path.parent if path.is_file() else path
    if not (folder / FILE).is_file():
        hint = "Name the run folder of swift eval, or its scores.json."
        raise UsageError(f"not an evaluation: there is no {FILE}", code="EVAL-012", where=str(path), hint=hint)
    return folder


def _record(folder: Path) -> dict[str, Any]:
    path = folder / scores.FILE
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _settings(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return a note for each setting that differs, and for a run that was not finished."""
    notes = [f"the {name} evaluation is not finished" for name, record in (("first", first), ("second", second)) if not record]
    if notes:
        return notes
    before, after = (
        _flat({"evaluator": record["evaluator"], **{name: value for name, value in record["settings"].items() if name not in _LEFT_OUT}})
        for record in (first, second)
    )
    names = [name for name in before | after if before.get(name) != after.get(name)]
    return [f"{name} differs: {json.dumps(before.get(name))} and {json.dumps(after.get(name))}" for name in names]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by their dotted path."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {f"{prefix}{name}": value}
    return found


def file_names(tasks: Iterable[str]) -> dict[str, str]:
    """Return the names of tasks without folders, since a file may be named from another working folder; unchanged if two would be equal."""
    names = {task: Path(task).name or task for task in tasks}
    return names if len(set(names.values())) == len(names) else {task: task for task in names}


def _by_file_name(items: list[Item]) -> list[Item]:
    names = file_names(item.task for item in items)
    return [replace(item, task=names[item.task]) for item in items]


def _common(first: list[Item], second: list[Item]) -> tuple[set[tuple[str, str]], list[str]]:
    """Return the questions (task, id) that both have, with the same prompt, and notes on the others."""
    before, after = ({(item.task, item.id): item.prompt for item in items} for items in (first, second))
    shared = before.keys() & after.keys()
    changed = {name for name in shared if before[name] != after[name]}
    notes = []
    for label, only in (("first", before.keys() - shared), ("second", after.keys() - shared)):
        if only:
            notes.append(f"{len(only)} questions are only in the {label} evaluation, and are left out")
    if changed:
        example = sorted(changed)[0]
        notes.append(f"{len(changed)} questions had another prompt, such as {example[0]} {example[1]}, and are left out")
    return shared - changed, notes
