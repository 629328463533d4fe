"""The section `autoscaling` of a report: the simulated autoscaler under the recorded load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from swift_report import ReportedRun
from swift_report.charts import line_chart
from swift_report.parts import columns, joined

from swift_core.system import format_value
from swift_plugin_kubernetes.sizing import AUTOSCALING

_UNITS = {
    "delay": "scale-down delay, s",
    "cold_start": "cold start, s",
    "seconds": "seconds per request",
    "max_replicas": "maximum replicas",
}
_UNITS |= {
    "target": "requests in flight per replica",
    "min_replicas": "minimum replicas",
    "capacity": "requests computed at once per replica",
}


def content(runs: Sequence[ReportedRun]) -> Markup:
    """Return charts of load, replicas and waits of each run, and a table of what decides them."""
    records = {run.name: record for run in runs if (record := run.json(AUTOSCALING))}
    charts = [chart for record in records.values() for chart in _charts(record)]
    drawn = Markup('<div class="charts">{}</div>').format(joined(charts)) if charts else Markup("")
    return joined([drawn, columns({name: _facts(record) for name, record in records.items()}, mark=True)])


def _charts(record: dict[str, Any]) -> list[Any]:
    def points(name: str) -> list[tuple[float, float]]:
        return [(second / 60, value) for second, value in enumerate(record[name])]

    replicas = {"asked for": points("asked"), "ready": points("ready")}
    return [
        line_chart({"in flight": points("in_flight")}, title="Requests in flight (simulated)", x_label="minutes"),
        line_chart(replicas, title="Replicas (simulated)", x_label="minutes"),
        line_chart({"wait": points("waits")}, title="Wait of a request (simulated)", x_label="minutes", y_label="seconds"),
    ]


def _facts(record: dict[str, Any]) -> dict[str, str]:
    settings = {_UNITS.get(name, name): format_value(value) for name, value in record["settings"].items()}
    return {
        "load": record["load"],
        **settings,
        "longest wait, s": format_value(record["longest_wait"]),
        "removed and asked for again": str(record["flaps"]),
        "replica-hours": format_value(record["replica_hours"]),
    }
