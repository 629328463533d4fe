"""Execute a run from the command that started it: run folder, workers, observers, result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from swift_core.contract import (
    ErrorRecord,
    Event,
    FormatSpec,
    KilledEvent,
    LoaderSpec,
    PeerFailed,
    ResultEvent,
    ResultRecord,
    Run,
    RunResult,
    Server,
    Stopped,
    SwiftError,
    TunerSpec,
    Watch,
    errors,
)
from swift_core.plugins import Registry, registry
from swift_core.runs.events import read_events
from swift_core.system import network, new_folder, output_path, paths, read_run, threads, write_result, write_run

SWIFT_LOAD_PLUGINS = "SWIFT_LOAD_PLUGINS"
_OBSERVERS = ("swift_run_started", "swift_metrics", "swift_run_finished")


def execute(
    run: Run, runs: Path, *, watch: Watch | None = None, folder: Path | None = None, started: Callable[[Path], None] | None = None
) -> RunResult:
    """Execute a run in worker processes, and wait for it.

    Args:
        run: what to do.
        runs: where its run folder is made, unless `folder` names one.
        watch: called with every event.
        started: called with the run folder before the first worker starts.

    Raises:
        Stopped: it was stopped; what it had is saved.
        SwiftError: it failed; the run folder stays, with its log.
    """
    known = registry()
    if folder is None:
        folder = new_folder(run, runs)
    else:
        write_run(run, folder)
    if started:
        started(folder)
    _tell(known, "swift_run_started", run=run, folder=folder)
    outcome = _Outcome(run, folder, known, watch)
    begin = time.time()
    try:
        code = _launch(run, folder, known, outcome)
        result = outcome.result(code)
    except (SwiftError, KeyboardInterrupt) as error:
        _finish(known, run, folder, _failed(error), time.time() - begin)
        raise
    _finish(known, run, folder, result.to_json(), time.time() - begin)
    return result


def conclude(folder: Path, code: int) -> None:
    """Record the end of a run that no command waits for, from its events: result, observers, report."""
    run, known = read_run(folder), registry()
    outcome = _Outcome(run, folder, known, None)
    events = read_events(folder)
    try:
        for event in events:
            outcome(event)
        result = outcome.result(code).to_json()
    except SwiftError as error:
        result = _failed(error)
    times = [event.get("time", 0.0) for event in events] or [0.0]
    _finish(known, run, folder, result, times[-1] - times[0])


def _failed(error: SwiftError | KeyboardInterrupt) -> ResultRecord:
    code = error.code if isinstance(error, SwiftError) else ""
    stopped = isinstance(error, Stopped | KeyboardInterrupt)
    return {"status": "stopped" if stopped else "failed", "error": str(error) or "stopped", "code": code}


class _Outcome:
    """The end of a run, according to its events."""

    def __init__(self, run: Run, folder: Path, known: Registry, watch: Watch | None) -> None:
        self.run, self.folder, self.known, self.watch = run, folder, known, watch
        self.done: ResultEvent | None = None
        self.error: SwiftError | None = None
        self.killed: KilledEvent | None = None

    def __call__(self, event: Event) -> None:
        if event["event"] == "result":
            self.done = event
        elif event["event"] == "error":
            if self.error is None or isinstance(self.error, PeerFailed):
                self.error = error_of(event)
        elif event["event"] == "killed":
            self.killed = self.killed or event
        elif event["event"] == "metric":
            _tell(self.known, "swift_metrics", run=self.run, folder=self.folder, metrics={"step": event["step"], **event["values"]})
        if self.watch:
            self.watch(event)

    def result(self, code: int) -> RunResult:
        if self.done is None or code:
            raise self._failure(code)
        output = Path(self.done["output"]) if self.done["output"] else None
        return RunResult(status=self.done["status"], folder=self.folder, output=output, figures=self.done["figures"])

    def _failure(self, code: int) -> SwiftError:
        if self.error and not (self.killed and isinstance(self.error, PeerFailed)):
            return self.error
        if self.killed:
            return _died(self.killed["code"], self.folder, f"process {self.killed['rank']} of the run's {self.killed['ranks']}")
        return _died(code, self.folder)


@contextmanager
def running_server(run: Run, runs: Path, *, watch: Watch | None = None, folder: Path | None = None) -> Iterator[Server]:
    """Yield the server of a run, once it answers, and stop it when the block ends; one that a launcher has submitted stays.

    Raises:
        SwiftError: the engine did not start; its log is in the run folder. Or the launcher has only prepared the server.
    """
    folder = folder or new_folder(run, runs)
    ready = threading.Event()
    servers: list[Server] = []
    failures: list[BaseException] = []

    def on_event(event: Event) -> None:
        if event["event"] == "ready":
            servers.append(Server.from_event(event, folder))
            ready.set()
        elif event["event"] == "result" and event["status"] == "submitted" and (url := event["figures"].get("url")):
            servers.append(Server(url, tuple(event["figures"].get("models", ())), folder=folder))
        elif event["event"] == "result" and event["status"] in ("prepared", "submitted"):
            message = f"the launcher has {event['status']} the server, and does not say where it answers"
            failures.append(SwiftError(message, code="RUN-029", where=event["output"], hint="Connect to its URL: Server.at(URL)."))
        if watch:
            watch(event)

    def work() -> None:
        try:
            execute(run, runs, watch=on_event, folder=folder)
        except BaseException as error:
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        ready.wait()
        if not servers:
            raise (
                failures[0]
                if failures
                else SwiftError("the server ended before it was ready", code="RUN-009", where=str(folder / "log.txt"))
            )
        yield servers[0]
    finally:
        from swift_core.runs.local_launcher import STOP_FILE

        with suppress(OSError):
            (folder / STOP_FILE).touch()
        thread.join(60)


def _launch(run: Run, folder: Path, known: Registry, outcome: _Outcome) -> int:
    launcher = run.parts["launcher"] if "launcher" in run.parts else known.default("launcher", "local")
    options = run.options
    environment = {
        **threads.waiting(),
        SWIFT_LOAD_PLUGINS: ",".join(sorted(_needed(run, known))),
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",  # `python -m` would import random.py, or torch.py, from the working folder
        paths.RUN_NAME: folder.absolute().name,
    }
    if options.get("offline") or network.offline():
        environment |= {"SWIFT_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
    return int(
        launcher.build().launch(
            folder, processes=options.get("processes", 1), nodes=options.get("nodes", 1), environment=environment, watch=outcome
        )
    )


def _needed(run: Run, known: Registry) -> set[str]:
    """Return the plugins that a worker loads: those of the parts, of the checkpoint formats, and of the loaders that verify an export."""
    choices = [*run.parts.values(), *run.datasets, *run.validation]
    sources = [source for source in (run.model, *run.adapters.values()) if source and source.plugin]
    adapters = run.adapters or run.options.get("runtime_adapters")
    tuners = {entry.plugin.name for entry in known.entries(TunerSpec)} if adapters else set()
    loaders = {entry.plugin.name for entry in known.entries(LoaderSpec) if entry.spec.verifier} if "exporter" in run.parts else set()
    formats = {entry.plugin.name for entry in known.entries(FormatSpec)}
    return {choice.plugin for choice in choices} | {source.plugin for source in sources} | tuners | loaders | formats


def _tell(known: Registry, hook: str, **arguments: Any) -> None:
    for _ in known.plugins.ask(hook, **arguments):
        pass


def _finish(known: Registry, run: Run, folder: Path, result: ResultRecord, seconds: float) -> None:
    result["seconds"] = seconds
    paths.remove_asides(output_path(run, folder), folder.absolute().name)
    write_result(folder, result)
    _tell(known, "swift_run_finished", run=run, folder=folder, result=result)


def error_of(event: ErrorRecord) -> SwiftError:
    """Return the error that a worker reported."""
    known: tuple[type[SwiftError], ...] = (errors.UsageError, errors.Stopped, errors.PeerFailed, errors.DiskFull, errors.NotWritable)
    kind = {each.__name__: each for each in known}.get(event["type"]) or (errors.UsageError if event["exit_code"] == 2 else SwiftError)
    return kind(event["message"], code=event["code"], hint=event["hint"], where=event["where"])


def _died(code: int, folder: Path, who: str = "the worker") -> SwiftError:
    if code == 130:
        return Stopped("stopped", code="RUN-010", where=str(folder))
    killed = {137: " (killed: often a sign that memory ran out)", 139: " (a crash in native code)"}.get(code, "")
    tail = ""
    with suppress(OSError):
        lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        # a killed process reports nothing: the last line is of another process that noticed
        tail = f" Its last words: {lines[-1][:200]}" if lines and code != 137 else ""
    return SwiftError(
        f"{who} ended with code {code}{killed}.{tail}",
        code="RUN-011",
        where=str(folder / "log.txt"),
        hint="See the log for details; continue a training run with --resume.",
    )
