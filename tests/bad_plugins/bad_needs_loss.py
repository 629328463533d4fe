"""A section of reports that fails for a run that has no loss."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, SectionSpec


@hookimpl
def swift_report_sections():
    return [SectionSpec(name="needs-loss", summary="Does it badly", title="Bad", content=Ref("faults.sections:needs_loss"))]
