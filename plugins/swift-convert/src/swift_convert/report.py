"""The section `quantization` of a report: size against divergence from the source, for each method of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from swift_report import parts
from swift_report.charts import Chart, scatter
from swift_report.parts import joined
from swift_report.runs import ReportedRun

METHODS = "compare.json"  # of a comparison: {"model": …, "methods": […]}
HEADER = ("method", "bits", "MB", "perplexity", "KL", "top-1", "CPU s", "load s", "")


def content(runs: Sequence[ReportedRun]) -> Markup:
    """Return a chart and a table for each comparison among the runs."""
    return joined(_comparison(record["methods"]) for run in runs if (record := run.json(METHODS)))


def divergence(found: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Return a chart of size against divergence from the source; None if no method has figures."""
    points = {str(item["method"]): (item["bytes"] / 1e6, item["kl"]) for item in found if "kl" in item}
    return scatter(points, title="Size and divergence from the source", x_label="MB", y_label="KL divergence, nats per token")


def table(found: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the lines below `HEADER`; the last cell is the reason why a method has no figures."""
    return [[item["method"], *_cells(item), str(item.get("reason", ""))] for item in found]


def _comparison(found: Sequence[Mapping[str, Any]]) -> Markup:
    whole = next((item for item in found if "kl" in item), None)
    source = ""
    if whole:
        text = "Source: {:.3g} MB, perplexity {:.4g}."
        source = Markup("<p>{}</p>").format(text.format(whole["bytes_before"] / 1e6, whole["perplexity_before"]))
    return joined([divergence(found), parts.table(HEADER, table(found)), source])


def _cells(item: Mapping[str, Any]) -> list[str]:
    if "kl" not in item:
        return [""] * (len(HEADER) - 2)
    return [
        str(item["bits"]),
        f"{item['bytes'] / 1e6:.3g}",
        f"{item['perplexity']:.4g}",
        f"{item['kl']:.3g}",
        f"{item['top1']:.3f}",
        f"{item['cpu_seconds']:.0f}",
        f"{item['load_seconds']:.1f}",
    ]
