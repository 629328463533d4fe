"""The record of an answered event: a run, with a run folder, that the observers of runs (audit log, report) see like any other."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from swift_core.contract import ResultRecord, Run
from swift_core.plugins import registry
from swift_core.system import new_folder, write_json, write_result, write_text
from swift_plugin_trigger.answering import lines
from swift_plugin_trigger.store import Event, Message

MESSAGES, EVENT = "messages.jsonl", "event.json"


def record(run: Run, runs: Path, event: Event, messages: list[Message]) -> Path:
    """Write the run folder of an event whose messages all have their texts, and tell the observers; return the folder.

    Raises:
        SwiftError: an observer refuses (the audit log is required, and can't be written).
    """
    run = replace(run, options={**run.options, "event": event.id, "event_hash": event.hash})
    folder = new_folder(run, runs)
    write_json(folder / EVENT, {"id": event.id, "source": event.source, "received": event.received, "event": dict(event.body)})
    _tell("swift_run_started", run=run, folder=folder)
    write_text(folder / MESSAGES, lines(messages))
    made_by = Counter(str(message.record["by"]) for message in messages)
    rejected = sum(len(message.record["rejected"]) for message in messages)
    result: ResultRecord = {
        "status": "done", "output": str(folder / MESSAGES), "seconds": time.time() - event.received,
        "figures": {"messages": len(messages), **{f"by_{by}": count for by, count in made_by.items()}, "rejected_answers": rejected},
    }  # fmt: skip
    write_result(folder, result)
    _tell("swift_run_finished", run=run, folder=folder, result=result)
    return folder


def _tell(hook: str, **arguments: object) -> None:
    for _ in registry().plugins.ask(hook, **arguments):
        pass
