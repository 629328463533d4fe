"""Scores of a run: means of its items with intervals, in `scores.json`, as figures of the run, and as a table."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from swift_core.contract import RunResult
from swift_core.system import format_value, paths, write_json
from swift_evaluate.roles import Item, Scores
from swift_evaluate.statistics import LEVEL, Estimate, estimate, normal_quantile

FILE = "scores.json"
_ROUNDED = 1e-3  # evaluators round what they report


def per_question(items: Iterable[Item]) -> dict[str, dict[str, dict[str, tuple[float, str]]]]:
    """Return task → metric → question id → (mean of its samples, cluster). Items without a score of the metric do not count."""
    sums: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    clusters: dict[tuple[str, str], str] = {}
    for item in items:
        clusters[item.task, item.id] = item.cluster or f"item {item.id}"
        for metric, score in item.scores.items():
            sums[item.task][metric][item.id].append(float(score))
    return {
        task: {
            metric: {name: (math.fsum(scores) / len(scores), clusters[task, name]) for name, scores in questions.items()}
            for metric, questions in metrics.items()
        }
        for task, metrics in sums.items()
    }


def estimates(items: Iterable[Item]) -> dict[str, dict[str, Estimate]]:
    """Return the mean of each metric of each task, with its interval."""
    return {
        task: {
            metric: estimate([mean for mean, _ in questions.values()], [cluster for _, cluster in questions.values()])
            for metric, questions in metrics.items()
        }
        for task, metrics in per_question(items).items()
    }


def summary(items: list[Item], reported: Scores) -> dict[str, Any]:
    """Return the `scores` and `counts` of `scores.json`: by task and metric, and the numbers of items by task."""
    found: dict[str, dict[str, dict[str, Any]]] = {
        task: {metric: _clean(asdict(value)) for metric, value in metrics.items()} for task, metrics in estimates(items).items()
    }
    z = normal_quantile(0.5 + LEVEL / 2)
    for task, metrics in reported.values.items():
        for metric, value in metrics.items():
            score = found.setdefault(task, {}).setdefault(metric, {"value": value})
            error = reported.standard_errors.get(task, {}).get(metric)
            if "n" in score:
                score["reported"] = value
            elif error is not None:
                score |= {"standard_error": error, "interval": [value - z * error, value + z * error], "method": "normal"}
    statuses = Counter((item.task, item.status) for item in items)
    counts = {
        task: {
            "items": len({item.id for item in items if item.task == task}),
            "samples": sum(statuses[task, status] for status in ("ok", "failed", "truncated")),
            "failed": statuses[task, "failed"],
            "truncated": statuses[task, "truncated"],
            "hash": paths.digest(sorted({(item.id, item.prompt) for item in items if item.task == task})),
        }
        for task in dict.fromkeys(item.task for item in items)
    }
    return {"scores": found, "counts": counts, "lower_is_better": sorted(reported.lower_is_better)}


def warnings(record: Mapping[str, Any]) -> list[str]:
    """Return what the user should know before they believe the scores."""
    texts = []
    for task, count in record["counts"].items():
        if count["failed"]:
            texts.append(f"{task}: {count['failed']} of {count['samples']} requests failed; they do not count as wrong answers")
        if count["truncated"]:
            texts.append(f"{task}: {count['truncated']} of {count['samples']} answers were truncated: raise --max-tokens")
    for task, metrics in record["scores"].items():
        for metric, score in metrics.items():
            if abs(score.get("reported", score["value"]) - score["value"]) > _ROUNDED:
                mean, other = format_value(score["value"]), format_value(score["reported"])
                texts.append(f"{task}: the mean {metric} of the items is {mean}, but the evaluator reports {other}")
    return texts


def write(record: Mapping[str, Any], folder: Path) -> Path:
    """Write `scores.json`, and return its path."""
    write_json(folder / FILE, record)
    return folder / FILE


def figures(record: Mapping[str, Any]) -> dict[str, float]:
    """Return each score as `task.metric`, with its standard error, and the numbers of failed and truncated answers if there are any."""
    found: dict[str, float] = {}
    for task, metrics in record["scores"].items():
        for metric, score in metrics.items():
            found[f"{task}.{metric}"] = score["value"]
            if "standard_error" in score:
                found[f"{task}.{metric}.standard_error"] = score["standard_error"]
    counts = {f"{task}.{name}": count[name] for task, count in record["counts"].items() for name in ("failed", "truncated") if count[name]}
    return found | counts


def lines(result: RunResult) -> list[str]:
    """Return a table with a row for each task and metric, and where the scores are."""
    assert result.output is not None
    record = json.loads(result.output.read_text(encoding="utf-8"))
    rows = [("task", "metric", "score", f"{LEVEL:.0%} interval", "items", "failed", "truncated")]
    for task, metrics in record["scores"].items():
        counts = record["counts"].get(task, {})
        for metric, score in metrics.items():
            low, high = score.get("interval", (None, None))
            interval = "" if low is None else f"{format_value(low)} – {format_value(high)}"
            numbers = [str(score.get("n") or ""), *(str(counts.get(name) or "") for name in ("failed", "truncated"))]
            rows.append((task, metric, format_value(score["value"]), interval, numbers[0], numbers[1], numbers[2]))
    kept = [column for column in range(7) if any(row[column] for row in rows[1:])]
    widths = {column: max(len(row[column]) for row in rows) for column in kept}
    table = ["  ".join(f"{row[column]:<{widths[column]}}" for column in kept).rstrip() for row in rows]
    return [*table, *record["warnings"], f"scores: {result.output}"]


def _clean(values: dict[str, Any]) -> dict[str, Any]:
    """Without what is not known."""
    return {name: value for name, value in values.items() if value not in (None, "")}
