"""The plan of every run: computed before it starts, kept in its folder, and shown in its report beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract import Ref, SectionSpec, hookimpl

if TYPE_CHECKING:
    from swift_core.contract import Problem, Run


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Refuse a training that can't fit on its device."""
    from swift_plan import admission

    yield from admission.problems(run)


@hookimpl
def swift_run_started(run: Run, folder: Path) -> None:
    """Write `plan.json` into the run folder."""
    from swift_plan import admission
    from swift_plan.record import write_plan

    if (plan := admission.plan_for(run)) is not None:
        write_plan(folder, plan)


@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Return the planned memory beside the measured one."""
    return [
        SectionSpec(
            name="plan", title="Plan", summary="Planned memory by phase, and what was measured", order=690,
            content=Ref("swift_plan.report:content"),
        )
    ]  # fmt: skip
