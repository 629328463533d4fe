"""The report of each run: observes runs, and offers the sections that every run has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract import Ref, SectionSpec, hookimpl

if TYPE_CHECKING:
    from swift_core.contract import ResultRecord, Run


@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Return what every run has: figures, lineage, cost, machine and settings."""
    return [
        SectionSpec(
            name="figures", title="Results", summary="Numbers of the run, and its error", order=100,
            content=Ref("swift_report.figures:content"),
        ),
        SectionSpec(
            name="lineage", title="Lineage", summary="Data and checkpoints that the run started from, back to the first", order=600,
            content=Ref("swift_report.lineage:content"),
        ),
        SectionSpec(
            name="cost", title="Cost", summary="Time of each stage, and energy if it can be measured", order=700,
            content=Ref("swift_report.cost:content"),
        ),
        SectionSpec(
            name="machine", title="Environment", summary="The machine and the versions that the run used", order=800,
            content=Ref("swift_report.machine:content"),
        ),
        SectionSpec(
            name="settings", title="Settings", summary="Options and parts of the run", order=900,
            content=Ref("swift_report.settings:content"),
        ),
    ]  # fmt: skip


@hookimpl
def swift_run_started(run: Run, folder: Path) -> None:
    """Record the machine, and what its energy counters show."""
    from swift_report import energy, machine

    machine.record(run, folder)
    energy.begin(folder)


@hookimpl
def swift_metrics(folder: Path) -> None:
    """Read the energy counters, before they wrap around."""
    from swift_report import energy

    energy.sample(folder)


@hookimpl
def swift_run_finished(run: Run, folder: Path, result: ResultRecord) -> None:
    """Record the energy, and write `report.html` into the run folder."""
    from swift_report import energy, report

    energy.end(folder)
    report(folder)
