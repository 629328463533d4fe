"""The section. A report may have several runs: each is one line of the chart."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup
from swift_report import ReportedRun
from swift_report.charts import line_chart


def content(runs: Sequence[ReportedRun]) -> str:
    """Return a chart; an empty text, which leaves the section out, if no run has a loss.

    What is inserted into Markup with `format` is escaped: it may come from a model.
    """
    lines = {run.name: run.lines("metrics.jsonl") for run in runs}
    series = {name: [(line["step"], math.exp(line["loss"])) for line in found if "loss" in line] for name, found in lines.items()}
    chart = line_chart(series, title="Perplexity of the training rows", x_label="step")
    return Markup("<p>Lower is better. Runs: {}.</p>{}").format(", ".join(lines), chart) if chart else ""
