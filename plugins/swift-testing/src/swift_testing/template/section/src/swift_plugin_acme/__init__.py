"""A section of reports: the perplexity of the training rows by step."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, SectionSpec


@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Return one section, which is shown after the curves: these have the order 200."""
    return [
        SectionSpec(
            name="acme",
            title="Perplexity",
            summary="Perplexity of the training rows by step",
            content=Ref("swift_plugin_acme.section:content"),
            order=210,
        )
    ]
