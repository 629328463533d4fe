"""A section of reports in a local plugin: `swift --plugin docs/examples/report_section.py report runs/…`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Ref, SectionSpec

if TYPE_CHECKING:
    from swift_report import ReportedRun


# -- start swift_report_sections --
@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Offer the section, after the curves, which have the order 200."""
    content = Ref("report_section:perplexity")
    return [SectionSpec(name="perplexity", title="Perplexity", summary="Perplexity of the training rows", content=content, order=210)]


def perplexity(runs: Sequence[ReportedRun]) -> str:
    """Draw the perplexity of all runs; an empty text, which leaves the section out, if no run has a loss."""
    from markupsafe import Markup
    from swift_report.charts import line_chart

    lines = {run.name: run.lines("metrics.jsonl") for run in runs}
    series = {name: [(line["step"], math.exp(line["loss"])) for line in found if "loss" in line] for name, found in lines.items()}
    chart = line_chart(series, title="Perplexity of the training rows", x_label="step")
    return Markup("<p>Lower is better.</p>{}").format(chart) if chart else ""


# -- end swift_report_sections --
