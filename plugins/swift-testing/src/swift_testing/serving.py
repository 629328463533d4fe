"""Run `swift serve` in tests as a user does: in a subprocess, waited for until it is ready, and stopped with Ctrl-C. Linux only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from swift_core.contract import ReadyEvent, Server
from swift_core.runs import read_events


@dataclass(frozen=True, slots=True)
class Ended:
    """The exit code and the output of a command; `left` are its processes that still run."""

    code: int
    out: str
    err: str
    left: tuple[int, ...] = ()


class SwiftServe:
    """Runs `swift serve WORDS` in `folder`; a `with` block is entered when the server is ready and stops it at the end.

    `url`, `models` and `metrics` come from its ready event; `run_folder` contains its log. `server` is what clients take.
    """

    def __init__(self, folder: Path, *words: str, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.words = words
        self.env = {**os.environ, "COLUMNS": "200", **(env or {})}
        self.ended: Ended | None = None

    def start(self) -> Self:
        """Start the server and wait until it is ready.

        Raises:
            AssertionError: it ended before; the message has its output.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "swift_core.cli", "serve", *self.words, "--port", "0"],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_restore_sigint,  # noqa: PLW1509
        )
        while (ready := self._event()) is None:
            if self._process.poll() is not None:
                self.stop()
                raise AssertionError(self.ended)
            time.sleep(0.1)
        self.url, self.models, self.metrics = str(ready["url"]), list(ready["models"]), str(ready["metrics"])
        return self

    def stop(self) -> Ended:
        """Send SIGINT and wait until the server has ended."""
        if self.ended is None:
            pids = descendants(self._process.pid)
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
            out, err = self._process.communicate(timeout=300)
            self.ended = Ended(self._process.returncode, out, err, tuple(pid for pid in pids if alive(pid)))
        return self.ended

    def run(self) -> Ended:
        """Start a server that is expected to fail, and return its outcome."""
        with suppress(AssertionError):
            self.start()
        return self.stop()

    def adapter(self, *words: str) -> Ended:
        """Run `swift adapter WORDS` in the same folder."""
        command = [sys.executable, "-m", "swift_core.cli", "adapter", *words]
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        return Ended(done.returncode, done.stdout, done.stderr)

    @property
    def server(self) -> Server:
        """The server, with the API key of its environment."""
        return Server(self.url, tuple(self.models), self.env.get("SWIFT_API_KEY"), self.run_folder)

    @property
    def run_folder(self) -> Path:
        """The run folder of the server."""
        return next(self.folder.glob("runs/*-serve-*"))

    def port_is_free(self) -> bool:
        """Return whether the server's port is free."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(self.url.split(":")[2].split("/")[0]))) != 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _event(self) -> ReadyEvent | None:
        events = (event for folder in self.folder.glob("runs/*-serve-*") for event in read_events(folder))
        return next((event for event in events if event["event"] == "ready"), None)


def _restore_sigint() -> None:
    """Restore the default handler of SIGINT: a shell that runs tests in the background makes their children ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def descendants(pid: int) -> list[int]:
    """Return the process and all its descendants, according to /proc."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def end_tree(pid: int) -> None:
    """Kill a process and all its descendants, whichever process group they are in."""
    for each in descendants(pid):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(each, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
