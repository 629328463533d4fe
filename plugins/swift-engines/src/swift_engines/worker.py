"""Jobs with the engine of a part: in this process, or in a worker of the engine's environment, whose events are passed on."""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from swift_core.contract import Choice, ErrorEvent, Event, Ref, ResultEvent, Run, Stopped, SwiftError, UsageError
from swift_core.plugins import local
from swift_core.runs import STOP_FILE, STOPPING, Report, WorkerCommand, error_of, watch_processes
from swift_core.system import write_run

_GRACE = 10.0  # seconds that the worker has to end after SIGTERM
FOLDER = "engine"  # in the run folder, with its own run.json, events and log
_KIB = 1 if sys.platform == "darwin" else 1024  # bytes per unit of ru_maxrss


def in_engine(
    run: Run, choice: Choice, job: Ref, report: Report, *, folder: str = FOLDER, expected: Sequence[str] = (), **options: Path | str
) -> tuple[Path | None, Mapping[str, Any]]:
    """Call a job with the engine of a part: in this process, or in a worker of the engine's environment if it has one.

    Args:
        run: the run; the job gets it with `choice` as its only part.
        choice: the part whose engine is needed.
        job: (run, report) -> (output path or None, figures). It may not rely on state of this process.
        report: receives the events of the job.
        folder: subfolder of the run folder for the worker's own run.json, events and log.
        expected: figures that the job must return.
        options: options that the job gets in addition to those of the run; paths are made absolute.

    Returns:
        The output and the figures of the job; those of a worker include `peak_bytes`, its peak memory.

    Raises:
        Stopped: a stop was requested.
        UsageError: the environment has no swift-core, or another version of a distribution.
        SwiftError: the job failed.
    """
    given = {name: str(value.absolute()) if isinstance(value, Path) else value for name, value in options.items()}
    inner = replace(run, job=str(job), parts={choice.kind: choice}, options={**run.options, **given})
    if not choice.python or choice.python == sys.executable:
        output, figures = job.load()(inner, report)
    else:
        outer = replace(inner, job="swift_engines.worker:run_job", options={**inner.options, "engine_job": str(job)})
        output, figures = _in_worker(outer, choice.python, report, folder, expected)
    return (Path(output) if output else None), figures


def run_job(run: Run, report: Report) -> tuple[Path | None, dict[str, Any]]:
    """Call the job `engine_job` in a worker of an engine's environment.

    Such a job can't be stopped half-way and leaves nothing: a stop ends this process.
    """

    def end() -> None:
        report.wait_for_stop()
        os._exit(130)

    threading.Thread(target=end, daemon=True).start()
    output, figures = Ref(run.options["engine_job"]).load()(run, report)
    return output, {**figures, "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB}


def _in_worker(run: Run, python: str, report: Report, name: str, expected: Sequence[str]) -> tuple[str, Mapping[str, Any]]:
    from swift_environments.log_tail import last_error_in  # not there in an environment, where this module is imported too
    from swift_environments.variables import CLEARED, interpreter_variables

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
    if missing := [each for each in expected if each not in figures]:
        message = f"the environment of '{python}' has different swift-core code: its result lacks {' and '.join(missing)}"
        raise UsageError(message, code="CONVERT-012", where="envs", hint=f"{python} -m pip install -U {' '.join(_ours(run))}")
    return results[0]["output"], figures


def _ours(run: Run) -> list[str]:
    """The distributions of ours that do the run; a local file is none, and every process reads the same one."""
    names = {choice.distribution for choice in run.parts.values()}
    return sorted({"swift-core", *(name for name in names if not local.file_of(name))})


def _check_versions(run: Run, python: str) -> None:
    """Refuse an environment without swift-core, or where a distribution of ours has another version than here."""
    from swift_environments.contents import look  # not there in an environment

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


def _pass_on_a_stop(report: Report, folder: Path) -> None:
    report.wait_for_stop()
    with suppress(OSError):
        (folder / STOP_FILE).touch()
