"""The section `settings`: options and parts of the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from swift_core.contract import Choice, Run
from swift_core.system import format_value
from swift_report.parts import columns
from swift_report.runs import ReportedRun

_UNSET: tuple[Any, ...] = (None, "", [], {}, False)


def content(runs: Sequence[ReportedRun]) -> Markup:
    """Return a table, with a column per run; where runs differ, the line is marked."""
    return columns({run.name: _settings(run.run) for run in runs if run.run}, mark=True)


def _settings(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = _chosen(run.options)
    for part, choice in run.parts.items():
        found[part] = _choice(choice)
        found |= {f"{part}.{name}": value for name, value in _chosen(choice.options).items()}
    for kind, choices in (("dataset", run.datasets), ("validation dataset", run.validation)):
        if choices:
            found[kind] = ", ".join(f"{each.asked} {format_value(each.options) if each.options else ''}".strip() for each in choices)
    return found


def _chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are set, also of those inside of others."""
    inner = ((name, _chosen(value) if isinstance(value, Mapping) else value) for name, value in options.items())
    return {name: value for name, value in inner if value not in _UNSET}


def _choice(choice: Choice) -> str:
    return f"{choice.name} ({choice.distribution} {choice.version})"
