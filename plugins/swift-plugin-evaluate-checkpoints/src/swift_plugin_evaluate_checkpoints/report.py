"""The section `checkpoint-scores` of a report: the scores of a training's checkpoints, with their intervals."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from swift_evaluate.scores import FILE as SCORES
from swift_report.parts import joined, table
from swift_report.runs import ReportedRun

from swift_core.system import format_value
from swift_plugin_evaluate_checkpoints.background import FOLDER


def content(runs: Sequence[ReportedRun]) -> Markup:
    """Return a table for each run, a row for each checkpoint; the charts are among the curves."""
    found = {run.name: records for run in runs if (records := dict(_records(run.folder)))}
    return joined(_table(name if len(found) > 1 else "", records) for name, records in found.items())


def _records(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the scores of each evaluated checkpoint by its step."""
    for file in sorted(folder.glob(f"{FOLDER}/step-*/{SCORES}")):
        yield int(file.parent.name.removeprefix("step-")), json.loads(file.read_text(encoding="utf-8"))


def _table(name: str, records: Mapping[int, Mapping[str, Any]]) -> Markup:
    names = list(
        dict.fromkeys((task, metric) for record in records.values() for task, metrics in record["scores"].items() for metric in metrics)
    )
    rows = [
        [str(step), *(_score(record["scores"].get(task, {}).get(metric)) for task, metric in names)] for step, record in records.items()
    ]
    heading = Markup("<h3>{}</h3>").format(name) if name else ""
    return Markup("{}{}").format(heading, table(["step", *(f"{task} · {metric}" for task, metric in names)], rows))


def _score(score: Mapping[str, Any] | None) -> str:
    """Format a score with its interval."""
    if score is None:
        return ""
    interval = score.get("interval")
    around = f" ({format_value(interval[0])} to {format_value(interval[1])})" if interval else ""
    return f"{format_value(score['value'])}{around}"
