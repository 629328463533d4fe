"""The section `scores` of a report: scores with their confidence intervals as charts, and what decides them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from swift_report.charts import Interval, interval_chart
from swift_report.parts import columns, joined, short_hash, table
from swift_report.runs import ReportedRun

from swift_core.contract import SwiftError
from swift_core.system import format_value
from swift_evaluate.comparison import compare, file_names
from swift_evaluate.scores import FILE
from swift_evaluate.statistics import LEVEL

Rows = dict[str, dict[str, Interval]]
_FRACTIONS = "accuracy and other fractions"
_HASH = re.compile("[0-9a-f]{64}")


def content(runs: Sequence[ReportedRun]) -> Markup:
    """Return a chart of the scores from 0 to 1, one of each other metric, counts of items, and the settings that decide the scores."""
    records: dict[str, dict[str, Any]] = {run.name: record for run in runs if (record := run.json(FILE)) and record.get("scores")}
    if not records:
        return Markup("")
    charts = [
        interval_chart(rows, title="Scores" if metric == _FRACTIONS else metric, x_label=metric, series=list(records))
        for metric, rows in _charts(records)
    ]
    remarks = joined(
        Markup("<li>{}</li>").format(f"{name}: {text}" if len(records) > 1 else text)
        for name, record in records.items()
        for text in record.get("warnings", ())
    )
    note = Markup("<p class=note>The lines are {:.0%} confidence intervals.</p>").format(LEVEL)
    first, *others = [run for run in runs if run.name in records]
    files = {name: {Path(task).name for task in record["scores"]} for name, record in records.items()}
    differences = joined(_difference(first, other) for other in others if files[first.name] & files[other.name])
    warnings = Markup("<ul>{}</ul>").format(remarks) if remarks else ""
    return joined(
        [Markup('<div class="charts">{}</div>').format(joined(charts)), note, warnings, differences, columns(_facts(records), mark=True)]
    )


def _difference(first: ReportedRun, other: ReportedRun) -> Markup:
    """Return the paired comparison of two evaluations; the reason, if they have nothing in common."""
    heading = Markup("<h3>{} compared with {}, question by question</h3>").format(other.name, first.name)
    try:
        found = compare(first.folder, other.folder)
    except SwiftError as error:
        return Markup("{}<p class=note>{}. {}</p>").format(heading, error.message, error.hint)
    rows = [
        [
            f"{task} · {metric}",
            *map(format_value, (one.first, one.second)),
            f"{one.difference:+.4g} ({one.interval[0]:+.3g} to {one.interval[1]:+.3g})",
            f"{one.p:.2g}",
            one.n,
            one.verdict,
        ]
        for task, metrics in found.results.items()
        for metric, one in metrics.items()
    ]
    head = ["", first.name, other.name, f"difference ({LEVEL:.0%} interval)", "p", "items", "result"]
    notes = joined(Markup("<p class=note>{}</p>").format(text) for text in found.notes)
    return Markup("{}{}{}").format(heading, table(head, rows), notes)


def _charts(records: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Rows]]:
    """Yield the scores by chart: {task · metric: {run: interval}}."""
    charts: dict[str, Rows] = {}
    for name, record in records.items():
        names = file_names(record["scores"])
        for task, metrics in record["scores"].items():
            for metric, score in metrics.items():
                one = Interval(score["value"], *score.get("interval", (score["value"], score["value"])))
                fraction = metric not in record.get("lower_is_better", ()) and all(0 <= edge <= 1 for edge in one)
                chart = _FRACTIONS if fraction else metric
                charts.setdefault(chart, {}).setdefault(f"{names[task]} · {metric}", {})[name] = one
    yield from charts.items()


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings by their path, without those that are not set, and the first digits of hashes."""
    for key, value in settings.items():
        if key == "tasks" and isinstance(value, Mapping):
            names = file_names(value)
            yield from _flat({names[task]: each for task, each in value.items()}, prefix)
            continue
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name} · ")
        elif value not in (None, "", []):
            yield name, short_hash(value) if isinstance(value, str) and _HASH.fullmatch(value) else value


def _facts(records: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what decides the scores, and the numbers of items, by run."""
    found: dict[str, dict[str, Any]] = {}
    for name, record in records.items():
        facts = {"evaluator": " ".join(str(record.get("evaluator", {}).get(key, "")) for key in ("name", "version"))}
        facts |= dict(_flat(record.get("settings", {})))
        names = file_names(record.get("counts", {}))
        for task, counts in record.get("counts", {}).items():
            numbers = [f"{counts[key]} {key}" for key in ("items", "samples", "failed", "truncated") if counts.get(key)]
            facts[names[task]] = ", ".join([*numbers, *([f"questions {counts['hash'][:12]}"] if counts.get("hash") else [])])
        found[name] = facts
    return found
