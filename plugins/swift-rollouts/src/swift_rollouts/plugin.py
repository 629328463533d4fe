"""The report section of rollouts."""

from __future__ import annotations

from swift_core.contract import Ref, SectionSpec, hookimpl


@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Return the rollouts."""
    return [
        SectionSpec(
            name="rollouts", title="Rollouts", summary="Sampled answers of online training with their rewards", order=250,
            content=Ref("swift_rollouts.report:content"),
        )
    ]  # fmt: skip
