"""A job in the environment of its engine: a worker there, started and watched by the worker here, which passes on what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_core import tether
from swift_core.environments.interpreters import CLEARED, variables
from swift_core.errors import SwiftError, UsageError
from swift_core.last_words import last_words
from swift_core.launchers import watch_processes
from swift_core.reporting import Report
from swift_core.run import Run, write_run

FOLDER = "apart"  # in the run folder, with its own run.json, events and log


def run_apart(run: Run, python: str, report: Report) -> tuple[str, Mapping[str, Any]]:
    """Do `run` with the interpreter `python`, which has swift-core and the plugins that the run needs; its output and figures.

    Raises:
        SwiftError: it failed, for the reason that it told.
    """
    folder = report.folder / FOLDER
    write_run(run, folder)
    told: dict[str, Mapping[str, Any]] = {}

    def watch(event: Mapping[str, Any]) -> None:
        if event["event"] in ("result", "error"):
            told.setdefault(event["event"], event)
        else:
            report.send(event)

    command = tether.argv([python, "-m", "swift_core.worker", str(folder)])
    environment = {**variables(python), **dict.fromkeys(CLEARED[:2], "")}  # the parent's are added to these
    code = watch_processes([(command, environment)], folder, watch)
    if error := told.get("error"):
        kind = UsageError if error["exit_code"] == 2 else SwiftError
        raise kind(error["message"], hint=error["hint"], where=error["where"])
    if code or "result" not in told:
        log = folder / "log.txt"
        raise SwiftError(f"the engine ended with code {code}", where=str(log), hint=last_words(log))
    return told["result"]["output"], told["result"]["figures"]
