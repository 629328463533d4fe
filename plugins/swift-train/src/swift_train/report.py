"""Sections of a report on training: curves, the mask sample, and how rows were batched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from swift_report.charts import line_chart
from swift_report.parts import columns, joined
from swift_report.runs import ReportedRun

from swift_core.system import format_value

_GIB = 2**30
_CURVES = (  # title, unit, metrics with their names in the legend, factor
    ("Loss", "nats per token", {"loss": "training", "heldout_loss": "validation"}, 1.0),
    ("Learning rate", "", {"learning_rate": ""}, 1.0),
    ("Gradient norm", "before clipping", {"grad_norm": ""}, 1.0),
    ("Throughput", "tokens per second", {"tokens_per_second": ""}, 1.0),
    ("Memory", "GiB, peak of a process", {"memory_bytes": ""}, 1 / _GIB),
)
_MEASURED = {  # of `swift_train.row_isolation`, in nats
    "effect": "change of the loss by a row's own first tokens",
    "same": "tolerance, passes of equal shape",
    "other": "tolerance, other passes",
    "behind": "change by later tokens",
    "other_rows": "change by other rows of the pass",
    "other_place": "change by the place in the pass",
    "in_company": "change by company at all",
}
_HELDOUT = "heldout_"  # prefix of metrics of an evaluation
_KNOWN = {"step", "epoch", "seconds", "tokens", "supervised", "skipped"} | {name for _, _, names, _ in _CURVES for name in names}


def curves(runs: Sequence[ReportedRun]) -> Markup:
    """Return a chart per group of metrics, with those of all runs; metrics that callbacks and tasks add have charts of their own."""
    metrics = {run.name: run.lines("metrics.jsonl") for run in runs if run.run and "task" in run.run.parts}
    found = {name for lines in metrics.values() for line in lines for name, value in line.items() if isinstance(value, int | float)}
    others = dict.fromkeys(name.removeprefix(_HELDOUT) for name in sorted(found - _KNOWN))
    groups = [*_CURVES, *((name.replace("_", " "), "", {name: "training", _HELDOUT + name: "validation"}, 1.0) for name in others)]
    charts = [
        line_chart(_series(metrics, names, factor), title=title, x_label="step", y_label=unit) for title, unit, names, factor in groups
    ]
    drawn = joined(charts)
    return Markup('<div class="charts">{}</div>').format(drawn) if drawn else drawn


def mask(runs: Sequence[ReportedRun]) -> Markup:
    """Return a training row of each run, with the supervised tokens in colour."""
    found = [(run, sample) for run in runs if (sample := run.json("mask_sample.json"))]
    return joined(_sample(run.name if len(found) > 1 else "", sample) for run, sample in found)


def batching(runs: Sequence[ReportedRun]) -> Markup:
    """Return how rows were batched, and the measurements behind that choice."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        record = run.json("parallel.json")
        if rows := record.get("rows"):
            way = f"several, separated by {rows['boundaries']}" if rows["together"] else f"one ({rows['reason']})"
            found[run.name] = {
                "engine": record.get("engine", ""),
                "rows per forward pass": way,
                **({"attention": ", ".join(attention)} if (attention := rows.get("kernels")) else {}),
                **({"kernels": kernels} if (kernels := record.get("kernels", {}).get("name")) else {}),
                **{_MEASURED.get(name, name.replace("_", " ")): value for name, value in rows.get("figures", {}).items()},
            }
    return columns(found)


def _series(metrics: Mapping[str, Sequence[Mapping[str, Any]]], names: Mapping[str, str], factor: float) -> dict[str, Any]:
    series = {}
    for run, lines in metrics.items():
        for metric, label in names.items():
            name = " ".join(filter(None, (run if len(metrics) > 1 else "", label))) or metric.replace("_", " ")
            series[name] = [(line["step"], line[metric] * factor) for line in lines if isinstance(line.get(metric), int | float)]
    return series


def _sample(name: str, sample: Mapping[str, Any]) -> Markup:
    heading = Markup("<h3>{}</h3>").format(name) if name else ""
    pieces = joined(
        Markup("<mark>{}</mark>").format(piece["text"]) if piece["supervised"] else Markup.escape(piece["text"])
        for piece in sample["pieces"]
    )
    said = f"{sample['row']}: {format_value(sample['supervised'])} of {format_value(sample['tokens'])} tokens are supervised (in colour)."
    return Markup('{}<p class="note">{}</p><p class="mask text">{}</p>').format(heading, said, pieces)
