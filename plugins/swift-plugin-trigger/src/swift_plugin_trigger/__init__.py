"""Answer events with a model: by HTTP, file or schedule; screened; posted to a URL exactly once; recorded for audits."""

from __future__ import annotations

from swift_core.contract import Ref, SectionSpec, VerbSpec, hookimpl


@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Return trigger."""
    return [
        VerbSpec(
            name="trigger",
            summary="Answer events (HTTP, files, a schedule) with a model or a recipe, and post the answers to a URL",
            options=Ref("swift_plugin_trigger.options:TriggerOptions"),
            takes=("checkpoint", "server"),
            gives="file",
            positional="model",
            parts={"backend": "transformers"},
            prepare=(Ref("swift_plugin_trigger.job:prepare"),),
            carry_out=Ref("swift_plugin_trigger.job:carry_out"),
            records=False,
            command=Ref("swift_plugin_trigger.commands:TriggerCommand"),
        )
    ]


@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Return the messages of an event."""
    return [
        SectionSpec(
            name="messages", title="Messages", summary="Messages that answer an event, and what the screening rejected", order=310,
            content=Ref("swift_plugin_trigger.report:content"),
        )
    ]  # fmt: skip
