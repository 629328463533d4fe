"""The section `plan` of reports: device memory by phase as it was planned, and the measured peak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from swift_report import ReportedRun
from swift_report.charts import line_chart
from swift_report.parts import columns, joined

from swift_plan.plan import Plan
from swift_plan.record import PLAN
from swift_plan.text import size

_GIB = 2**30


def content(runs: Sequence[ReportedRun]) -> Markup:
    """Return the measured memory by step against the planned peak, and a table with a column per run."""
    found: dict[str, dict[str, str]] = {}
    lines: dict[str, list[tuple[float, float]]] = {}
    for run in runs:
        data = run.json(PLAN)
        if data:
            plan = Plan.from_json(data)
            found[run.name] = _values(plan, run.result.get("figures", {}))
            for label, points in _memory(run, plan).items():
                lines[f"{run.name} {label}" if len(runs) > 1 else label] = points
    chart = line_chart(lines, title="Memory against the plan", x_label="step", y_label="GiB, peak of a process")
    drawn = Markup('<div class="charts">{}</div>').format(chart) if chart else ""
    return joined([drawn, columns(found)])


def _memory(run: ReportedRun, plan: Plan) -> dict[str, list[tuple[float, float]]]:
    """Return the measured peak by step, and the planned one as a level line; empty if none was measured."""
    measured = [(line["step"], line["memory_bytes"] / _GIB) for line in run.lines("metrics.jsonl") if line.get("memory_bytes")]
    if not measured or not plan.peak:
        return {}
    return {"measured": measured, "planned": [(measured[0][0], plan.peak / _GIB), (measured[-1][0], plan.peak / _GIB)]}


def _values(plan: Plan, figures: Any) -> dict[str, str]:
    values = {"device": plan.device.title, "method": plan.method}
    values |= {f"planned, {phase.name}": size(phase.total + plan.overhead) for phase in plan.phases if phase.total}
    values["planned peak"] = size(plan.peak)
    measured = figures.get("memory_reserved", figures.get("memory_peak"))
    if isinstance(measured, int | float) and plan.peak:
        measured += figures.get("memory_context", 0)
        values["measured peak"] = f"{size(measured)} ({measured / plan.peak:.0%} of the plan)"
    return values
