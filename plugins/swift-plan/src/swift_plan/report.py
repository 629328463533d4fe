"""The section `plan` of reports: device memory by phase as it was planned, and the measured peak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from swift_report import ReportedRun
from swift_report.parts import columns

from swift_plan.plan import Plan
from swift_plan.record import PLAN
from swift_plan.text import size


def content(runs: Sequence[ReportedRun]) -> Markup:
    """Return a table, with a column per run."""
    found: dict[str, dict[str, str]] = {}
    for run in runs:
        data = run.json(PLAN)
        if data:
            found[run.name] = _values(Plan.from_json(data), run.result.get("figures", {}))
    return columns(found)


def _values(plan: Plan, figures: Any) -> dict[str, str]:
    values = {"device": plan.device.title, "method": plan.method}
    values |= {f"planned, {phase.name}": size(phase.total + plan.overhead) for phase in plan.phases if phase.total}
    values["planned peak"] = size(plan.peak)
    measured = figures.get("memory_reserved", figures.get("memory_peak"))
    if isinstance(measured, int | float) and plan.peak:
        measured += figures.get("memory_context", 0)
        values["measured peak"] = f"{size(measured)} ({measured / plan.peak:.0%} of the plan)"
    return values
