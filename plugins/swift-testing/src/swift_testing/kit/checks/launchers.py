"""A launcher: it starts the workers that were asked for, passes on what rank 0 says, and tells how they ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.run import Run, write_run
from swift_core.runs.events import Report
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject

LAUNCHER = "launcher"


def say(_run: Run, report: Report) -> tuple[None, dict[str, Any]]:
    """A job: each rank leaves a file, rank 0 counts to three."""
    rank = os.environ.get("RANK", "0")
    (report.folder / f"rank-{rank}").write_text(
        f"{os.environ.get('WORLD_SIZE', '1')} {os.environ.get('SWIFT_CHECK', '')}", encoding="utf-8"
    )
    for number in range(3):
        report.note(f"note {number} of rank {rank}")
    return None, {}


def fail(_run: Run, _report: Report) -> tuple[None, dict[str, Any]]:
    """A job that fails."""
    raise SwiftError("as it should")


def _launched(subject: Subject, job: str, processes: int) -> tuple[int, list[dict[str, Any]], Path]:
    subject.needs_engine()
    folder = subject.new_folder(job)
    write_run(Run(verb="check", job=f"{__name__}:{job}"), folder)
    events: list[dict[str, Any]] = []
    code = subject.build().launch(
        folder, processes=processes, nodes=1, environment={"SWIFT_CHECK": "seen"}, watch=lambda event: events.append(dict(event))
    )
    return code, events, folder


@check(LAUNCHER)
def check_workers(subject: Subject) -> None:
    """Two processes are two ranks that know each other's number and have the environment; rank 0 alone is heard, in order."""
    code, events, folder = _launched(subject, "say", 2)
    require(code == 0, f"the workers ended well, and it returns {code}")
    ranks = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("rank-*")}
    require(ranks == {"rank-0": "2 seen", "rank-1": "2 seen"}, f"two ranks with SWIFT_CHECK=seen were asked for; there were {ranks}")
    notes = [event["text"] for event in events if event["event"] == "note" and event["text"].startswith("note ")]  # it may add its own
    require(notes == [f"note {number} of rank 0" for number in range(3)], f"rank 0 said three notes, and it passes on {notes}")


@check(LAUNCHER)
def check_failure_is_told(subject: Subject) -> None:
    """A worker that fails makes its exit code another than 0, and its error is passed on."""
    code, events, _ = _launched(subject, "fail", 1)
    require(code, "a worker failed, and it returns 0")
    said = [event["message"] for event in events if event["event"] == "error"]
    require(said == ["as it should"], f"the worker's error is 'as it should', and it passes on {said}")


@check(LAUNCHER)
def check_nodes(subject: Subject) -> None:
    """`nodes` is true of it: where it says no, more than one machine is a UsageError."""
    if subject.spec.nodes:
        raise Skip("it says that it can, and there is one machine here")
    folder = subject.new_folder("nodes")
    write_run(Run(verb="check", job=f"{__name__}:say"), folder)
    try:
        subject.build().launch(folder, processes=1, nodes=2, environment={}, watch=lambda event: None)
    except UsageError:
        return
    raise CheckFailed("it says nodes=False, but starts on two machines")
