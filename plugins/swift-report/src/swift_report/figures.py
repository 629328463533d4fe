"""The section `figures`: numbers of the runs, and their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from swift_report.parts import columns, joined, tiles
from swift_report.runs import ReportedRun


def content(runs: Sequence[ReportedRun]) -> Markup:
    """Return the numbers of one run as tiles, of several as a table."""
    errors = joined(
        Markup('<p class="error"><b>{}</b> {} <code>{}</code></p>').format(run.name, error, run.result.get("code", ""))
        for run in runs
        if (error := run.result.get("error"))
    )
    found = {run.name: figures for run in runs if (figures := _figures(run))}
    if len(runs) == 1:
        return errors + (tiles(found[runs[0].name]) if found else Markup(""))
    return errors + columns(found)


def _figures(run: ReportedRun) -> dict[str, Any]:
    """Return the figures that fit into a tile."""
    return {
        name.replace("_", " "): value
        for name, value in run.result.get("figures", {}).items()
        if not isinstance(value, Mapping | list) and not name.endswith(".standard_error")
    }
