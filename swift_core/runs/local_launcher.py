"""Start the workers of a run on this machine, watch them, and stop them: the parent's side of `swift_core.runs.worker`.

Each worker's stdout is the event channel (rank 0 speaks), its stderr goes to `log.txt`, and its stdin is the control pipe: when
that closes, the worker saves and ends. A file `stop` in the run folder asks the same of workers that other launchers started.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from swift_core.contract import Event, UsageError, Watch, note
from swift_core.runs.events import parse_event
from swift_core.system import forget, supervisor

STOP_FILE = "stop"
STOPPED = 130
STOPPING = note("Stopping gracefully. Press Ctrl-C again to stop immediately.")
CONTROL_PIPE = "SWIFT_CONTROL_PIPE"  # set for workers whose stdin is the control pipe
_LAST_WORDS = 5.0  # seconds for what ended workers said to be read; a child of theirs that lives on may hold their stdout
_LOST_RANK_GRACE = 5.0  # seconds that the other ranks get when one has died: they wait for it in a collective


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCommand:
    """A command that starts workers, and how to end it.

    Attributes:
        argv: the program and its arguments.
        env: variables added to those of this process.
        control_pipe: it is a worker itself (`python -m swift_core.runs.worker`, in whatever wrapper that keeps its stdin and process id):
            it saves and stops when its stdin closes. Workers of other commands learn of a stop by the stop file.
        grace: seconds that its process group gets to end after SIGTERM, under a supervisor that also ends it if this process dies. 0: it
            is killed at once.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    control_pipe: bool = False
    grace: float = 0.0

    def start(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the command as the leader of a process group, with pipes to its stdin and stdout."""
        argv = supervisor.argv(list(self.argv), grace=self.grace) if self.grace else self.argv
        env = {**os.environ, **self.env, CONTROL_PIPE: "1" if self.control_pipe else ""}
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=env, start_new_session=True)


_Running = list[tuple[WorkerCommand, subprocess.Popen[bytes]]]


class LocalLauncher:
    """A launcher that starts `processes` workers on this machine."""

    def __init__(self, options: None = None) -> None:
        pass

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Start the workers and wait for them; see `roles.Launcher`."""
        if nodes > 1:
            message = "the launcher 'local' starts one machine's workers"
            raise UsageError(message, code="RUN-015", where="launcher", hint="Use --launcher torchrun, slurm, kubernetes or ray.")
        ranks: list[dict[str, str]] = [{}]
        if processes > 1:
            shared = {
                "WORLD_SIZE": str(processes),
                "LOCAL_WORLD_SIZE": str(processes),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(free_port()),
                # each rank would take every core, and they would wait for one another
                "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes))),
            }
            ranks = [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
        command = [sys.executable, "-m", "swift_core.runs.worker", str(run)]
        return watch_processes([WorkerCommand(argv=command, env={**environment, **rank}, control_pipe=True) for rank in ranks], run, watch)


def watch_processes(commands: Sequence[WorkerCommand], run: Path, watch: Watch) -> int:
    """Start the commands, pass on their events, and return the first bad exit code (0: all ended well).

    Ctrl-C once asks them to stop and save, twice ends them at once.
    """
    events: queue.Queue[Event] = queue.Queue()
    (run / STOP_FILE).unlink(missing_ok=True)
    running: _Running = []
    readers: list[threading.Thread] = []
    interrupts = 0
    lost: float | None = None
    failed = 0  # the code of the process that failed first; those that are killed for it come later
    with (run / "log.txt").open("ab") as log:
        try:
            for command in commands:
                process = command.start(log)
                running.append((command, process))
                readers.append(threading.Thread(target=_read, args=(process.stdout, events), daemon=True))
                readers[-1].start()
            while True:
                try:
                    _drain(events, watch)
                    codes = [process.poll() for _, process in running]
                    failed = failed or next((code for code in codes if code), 0)
                    if failed and lost is None:
                        lost = time.monotonic()
                        _tell_who(codes, watch)
                    if all(code is not None for code in codes):
                        for reader in readers:
                            reader.join(_LAST_WORDS)
                        _drain(events, watch)
                        if interrupts > 1:
                            return STOPPED
                        return failed if failed >= 0 else 128 - failed
                    if lost and time.monotonic() - lost > _LOST_RANK_GRACE:
                        _kill(running)
                except KeyboardInterrupt:
                    interrupts += 1
                    forget()
                    if interrupts == 1:
                        watch(STOPPING)
                        _ask_to_stop(running, run)
                    else:
                        lost = time.monotonic()
                        _kill(running)
        finally:
            _kill(running)
            (run / STOP_FILE).unlink(missing_ok=True)


def free_port() -> int:
    """Return a free TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ask_to_stop(running: _Running, run: Path) -> None:
    with suppress(OSError):  # a full disk; the pipes say it too
        (run / STOP_FILE).touch()
    for command, process in running:
        if process.stdin and command.control_pipe:
            with suppress(OSError):
                process.stdin.close()


def _kill(running: _Running) -> None:
    """Kill the process groups that still run; a supervisor gets time to end its own processes."""
    alive = [(command, process) for command, process in running if process.poll() is None]
    for command, process in alive:
        supervisor.signal_group(process, signal.SIGTERM if command.grace else signal.SIGKILL)
    for _, process in alive:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            supervisor.signal_group(process, signal.SIGKILL)
            process.wait()


def _tell_who(codes: Sequence[int | None], watch: Watch) -> None:
    """Report which of several processes was ended by a signal; the others only report a lost connection."""
    if len(codes) > 1:
        for rank, code in enumerate(codes):
            if code is not None and code < 0:
                watch({"event": "killed", "rank": rank, "ranks": len(codes), "code": 128 - code})


def _read(stream: IO[bytes] | None, events: queue.Queue[Event]) -> None:
    for line in stream or ():
        if event := parse_event(line):
            events.put(event)


def _drain(events: queue.Queue[Event], watch: Watch, patience: float = 0.2) -> None:
    with suppress(queue.Empty):
        while True:
            watch(events.get(timeout=patience))
            patience = 0.01
