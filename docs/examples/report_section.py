"""A section of reports in a local plugin: `swift --plugin docs/examples/report_section.py report runs/…`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup
from swift_report import ReportedRun
from swift_report.charts import line_chart

from swift_core import hookimpl
from swift_core.contract import Ref, SectionSpec


# -- start swift_report_sections --
@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Offer the section, after the curves, which have 200."""
    return [
        SectionSpec(
            name="perplexity", title="Perplexity", summary="Perplexity of the training rows by step", order=210,
            content=Ref("report_section:content"),
        )
    ]  # fmt: skip


def content(runs: Sequence[ReportedRun]) -> str:
    """Draw the perplexity of all runs; a run without a loss has none, and a report without one lacks the section."""
    lines = {run.name: run.lines("metrics.jsonl") for run in runs}
    series = {name: [(line["step"], math.exp(line["loss"])) for line in found if "loss" in line] for name, found in lines.items()}
    chart = line_chart(series, title="Perplexity of the training rows", x_label="step")
    return Markup("<p>Lower is better.</p>{}").format(chart) if chart else ""


# -- end swift_report_sections --
