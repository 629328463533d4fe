"""A section of reports that inserts the name of a run as HTML."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, SectionSpec


@hookimpl
def swift_report_sections():
    return [SectionSpec(name="unescaped", summary="Does it badly", title="Bad", content=Ref("faults.sections:unescaped"))]
