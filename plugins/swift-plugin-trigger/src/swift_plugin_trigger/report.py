"""The section of a report on the messages of an event."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from swift_report.parts import joined, table
from swift_report.runs import ReportedRun

from swift_plugin_trigger.recording import EVENT, MESSAGES


def content(runs: Sequence[ReportedRun]) -> Markup:
    """Return the messages of each run that answered an event, with the answers that were rejected."""
    return joined(_messages(run) for run in runs if run.run and run.run.verb == "trigger")


def _messages(run: ReportedRun) -> Markup:
    event = run.json(EVENT)
    rows = [
        [
            line["variant"]["id"],
            line["text"],
            line["by"],
            "; ".join(reason for each in line["rejected"] for reason in each["reasons"]) or "–",
        ]
        for line in run.lines(MESSAGES)
    ]
    heading = Markup("<p>Event <code>{}</code> by {}</p>").format(event.get("id", ""), event.get("source", ""))
    return heading + table(["", "text", "by", "rejected answers"], rows)
