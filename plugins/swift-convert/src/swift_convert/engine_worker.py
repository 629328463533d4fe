"""A job in the environment of its engine: a worker there, started and watched by the worker here, which passes on what it says."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from swift_core.contract import Choice, ErrorEvent, Event, ResultEvent, Run, Stopped, SwiftError, UsageError
from swift_core.environments import CLEARED, interpreter_variables, look
from swift_core.plugins import local
from swift_core.runs import STOP_FILE, STOPPING, Report, WorkerCommand, error_of, watch_processes
from swift_core.system import last_error_in, write_run

_GRACE = 10.0  # seconds that the worker has to end after SIGTERM
FOLDER = "apart"  # in the run folder, with its own run.json, events and log


def elsewhere(choice: Choice) -> bool:
    """Whether a part has its engine in another environment than this one."""
    return bool(choice.python) and choice.python != sys.executable


def run_apart(run: Run, python: str, report: Report, name: str = FOLDER, wanted: Sequence[str] = ()) -> tuple[str, Mapping[str, Any]]:
    """Do `run` with the interpreter `python`, which has swift-core and the plugins that the run needs; its output and figures.

    What it says is kept in the folder `name` of the run folder; `wanted` are figures that must be among what it says.

    Raises:
        Stopped: a stop was asked for.
        UsageError: the environment has other versions of our code, or none.
        SwiftError: it failed, for the reason that it told.
    """
    _check_versions(run, python)
    folder = report.folder / name
    write_run(run, folder)
    errors: list[ErrorEvent] = []
    results: list[ResultEvent] = []

    def watch(event: Event) -> None:
        if event["event"] == "error":
            errors.append(event)
        elif event["event"] == "result":
            results.append(event)
        elif event != STOPPING:  # which the parent has said
            report.send(event)

    threading.Thread(target=_pass_on_a_stop, args=(report, folder), daemon=True).start()
    environment = {**interpreter_variables(python), **dict.fromkeys(CLEARED[:2], "")}  # the parent's are added to these
    command = WorkerCommand(argv=[python, "-m", "swift_core.runs.worker", str(folder)], env=environment, grace=_GRACE)
    code = watch_processes([command], folder, watch)
    if errors:
        raise error_of(errors[0])
    if report.stop_requested:
        raise Stopped("stopped", code="CONVERT-010", where=str(report.folder))
    if code or not results:
        log = folder / "log.txt"
        raise SwiftError(f"the engine ended with code {code}", code="CONVERT-011", where=str(log), hint=last_error_in(log))
    figures = results[0]["figures"]
    if missing := [each for each in wanted if each not in figures]:
        message = f"the environment of '{python}' has other code of ours than this one: it doesn't tell {' and '.join(missing)}"
        raise UsageError(message, code="CONVERT-012", where="envs", hint=f"{python} -m pip install -U {' '.join(_ours(run))}")
    return results[0]["output"], figures


def _ours(run: Run) -> list[str]:
    """The distributions of ours that do the run; a local file is none, and every process reads the same one."""
    names = {choice.distribution for choice in run.parts.values()}
    return sorted({"swift-core", *(name for name in names if not local.file_of(name))})


def _check_versions(run: Run, python: str) -> None:
    """Refuse an environment without swift-core, or where a distribution of ours has another version than here."""
    there = look(Path(python))
    if not there.version("swift-core"):
        hint = f"{python} -m pip install {' '.join(_ours(run))}"
        raise UsageError(f"the environment of '{python}' has no swift-core", code="CONVERT-013", where="envs", hint=hint)
    for name in _ours(run):
        version = there.version(name)
        if version and version != (here := metadata.version(name)):
            hint = f"{python} -m pip install -U {name}=={here}"
            raise UsageError(
                f"the environment of '{python}' has {name} {version}, and this one {here}", code="CONVERT-014", where="envs", hint=hint
            )


def end_when_stopped(report: Report) -> None:
    """For a job in an engine's environment that can't be stopped half-way and leaves nothing: end this process when a stop is asked for."""

    def end() -> None:
        report.wait_for_stop()
        os._exit(130)

    threading.Thread(target=end, daemon=True).start()


def _pass_on_a_stop(report: Report, folder: Path) -> None:
    report.wait_for_stop()
    with suppress(OSError):
        (folder / STOP_FILE).touch()
