"""Scores in the run folder (`scores.json`), as figures of the run, and as a table."""

from __future__ import annotations

import json
from pathlib import Path

from swift_core.contract import RunResult, Scores
from swift_core.system import format_value, write_json

FILE = "scores.json"


def write(scores: Scores, evaluator: str, folder: Path) -> Path:
    """Write the scores by task and metric, each with its `value` and, if known, its `standard_error`; return the file."""
    values: dict[str, dict[str, dict[str, float]]] = {}
    for task, metrics in scores.values.items():
        errors = scores.standard_errors.get(task, {})
        values[task] = {
            metric: {"value": value} | ({"standard_error": errors[metric]} if metric in errors else {}) for metric, value in metrics.items()
        }
    write_json(folder / FILE, {"evaluator": evaluator, "scores": values, "predictions": str(scores.folder)})
    return folder / FILE


def figures(scores: Scores) -> dict[str, float]:
    """Return each score as `task.metric`, and its standard error as `task.metric.standard_error`."""
    found = {f"{task}.{metric}": value for task, metrics in scores.values.items() for metric, value in metrics.items()}
    errors = {f"{task}.{metric}": error for task, metrics in scores.standard_errors.items() for metric, error in metrics.items()}
    return found | {f"{name}.standard_error": error for name, error in errors.items()}


def lines(result: RunResult) -> list[str]:
    """Return a table with a row for each task and metric, and where the scores are."""
    assert result.output is not None
    scores = json.loads(result.output.read_text(encoding="utf-8"))["scores"]
    rows = [("task", "metric", "score", "standard error")]
    for task, metrics in scores.items():
        for metric, score in metrics.items():
            error = score.get("standard_error")
            rows.append((task, metric, format_value(score["value"]), "" if error is None else f"± {format_value(error)}"))
    if not any(row[-1] for row in rows[1:]):
        rows = [(*row[:-1], "") for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*table, f"scores: {result.output}"]
