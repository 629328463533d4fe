"""The section `cost`: time of the runs, and the energy of the machine meanwhile, if it could be measured."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from markupsafe import Markup

from swift_report.energy import ENERGY
from swift_report.parts import columns
from swift_report.runs import ReportedRun

_JOULES_PER_WH = 3600


def content(runs: Sequence[ReportedRun]) -> Markup:
    """Return a table, with a column per run, and their total."""
    costs = {run.name: cost for run in runs if (cost := _cost(run))}
    total = sum(float(run.result.get("seconds", 0)) for run in runs)
    whole = Markup("<p>All runs together: {}.</p>").format(duration(total)) if len(costs) > 1 and total else ""
    note = ""
    if any("energy" in name for cost in costs.values() for name in cost):
        note = Markup("<p class=note>Energy is that of whole processors and accelerators, whatever else they did meanwhile.</p>")
    return columns(costs) + whole + note


def duration(seconds: float) -> str:
    """Format a time: 4.2 s, 3 min 20 s, 5 h 12 min."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def _cost(run: ReportedRun) -> dict[str, str]:
    figures, found = run.result.get("figures", {}), dict[str, str]()
    times = [float(event["time"]) for event in run.lines("events.jsonl") if "time" in event]
    if times:
        found["started"] = f"{datetime.fromtimestamp(times[0], UTC):%Y-%m-%d %H:%M} UTC"
    if seconds := run.result.get("seconds"):
        found["time"] = duration(seconds)
        worked = figures.get("seconds")
        if isinstance(worked, int | float) and figures.get("steps"):
            found["time in steps and evaluations"] = duration(worked)
            found["time for loading and writing"] = duration(max(0.0, seconds - worked))
    joules = run.json(ENERGY).get("joules", {})
    for name, used in joules.items():
        found[f"energy, {name}"] = f"{used / _JOULES_PER_WH:.3g} Wh"
    return found
