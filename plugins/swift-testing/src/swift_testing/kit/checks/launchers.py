"""Checks of a launcher: it starts the requested workers, relays the events of rank 0, and reports failures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from swift_core.contract import Event, Run, SwiftError, UsageError
from swift_core.runs import Report
from swift_core.system import write_run
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject

LAUNCHER = "launcher"


def say(_run: Run, report: Report) -> tuple[None, dict[str, Any]]:
    """Job for the checks: each rank writes a file and three notes."""
    rank = os.environ.get("RANK", "0")
    (report.folder / f"rank-{rank}").write_text(
        f"{os.environ.get('WORLD_SIZE', '1')} {os.environ.get('SWIFT_CHECK', '')}", encoding="utf-8"
    )
    for number in range(3):
        report.note(f"note {number} of rank {rank}")
    return None, {}


def fail(_run: Run, _report: Report) -> tuple[None, dict[str, Any]]:
    """Job for the checks that raises a SwiftError."""
    raise SwiftError("expected failure", code="TEST-002")


def _launched(subject: Subject, job: str, processes: int) -> tuple[int, list[Event], Path]:
    subject.needs_engine()
    folder = subject.new_folder(job)
    write_run(Run(verb="check", job=f"{__name__}:{job}"), folder)
    events: list[Event] = []
    code = subject.build().launch(folder, processes=processes, nodes=1, environment={"SWIFT_CHECK": "seen"}, watch=events.append)
    return code, events, folder


@check(LAUNCHER)
def check_ranks(subject: Subject) -> None:
    """Two processes are two ranks that have the world size and the environment, and only the events of rank 0 are relayed, in order."""
    code, events, folder = _launched(subject, "say", 2)
    require(code == 0, f"the workers succeeded, but it returns {code}")
    ranks = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("rank-*")}
    require(ranks == {"rank-0": "2 seen", "rank-1": "2 seen"}, f"two ranks with SWIFT_CHECK=seen were requested; it started {ranks}")
    notes = [event["text"] for event in events if event["event"] == "note" and event["text"].startswith("note ")]  # it may add others
    require(notes == [f"note {number} of rank 0" for number in range(3)], f"rank 0 wrote three notes, but it relays {notes}")


@check(LAUNCHER)
def check_worker_failure(subject: Subject) -> None:
    """If a worker fails, it returns a non-zero exit code and relays the error."""
    code, events, _ = _launched(subject, "fail", 1)
    require(code, "a worker failed, but it returns 0")
    errors = [event["message"] for event in events if event["event"] == "error"]
    require(errors == ["expected failure"], f"the worker's error is 'expected failure', but it relays {errors}")


@check(LAUNCHER)
def check_nodes(subject: Subject) -> None:
    """`nodes` is accurate: if it is False, a multi-node launch is a UsageError."""
    if subject.spec.nodes:
        raise Skip("it supports several nodes, but there is only one here")
    folder = subject.new_folder("nodes")
    write_run(Run(verb="check", job=f"{__name__}:say"), folder)
    try:
        subject.build().launch(folder, processes=1, nodes=2, environment={}, watch=lambda event: None)
    except UsageError:
        return
    raise CheckFailed("it has nodes=False, but starts with nodes=2")
