"""Run a backend's engine on the tiny model with the backend's command, without the core's supervisor.

The core ends the whole process group of an engine. Here only the engine itself gets SIGTERM, as from a container runtime, so that an
engine which can't shut down by itself is detected.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_environments.variables import interpreter_variables
from swift_serve.client import wait_ready
from swift_serve.roles import Backend, Serving

from swift_core.contract import BackendSpec, Server
from swift_core.runs import free_port
from swift_testing.kit.model import CheckFailed
from swift_testing.serving import alive, descendants, end_tree

NAME = "tiny"
READY_SECONDS = 240.0
STOP_SECONDS = 60.0
LEFT_SECONDS = 30.0  # for the children of an engine to end after it


@dataclass(slots=True)
class Served:
    """A running engine: its backend, the `Server` for clients, its process and its log file."""

    backend: Backend
    server: Server
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server.url.split(":")[2].split("/")[0])

    def stop(self) -> list[str]:
        """Send SIGTERM and return the problems: none if it ended, left no process and freed its port."""
        found = descendants(self.process.pid)
        self.process.terminate()
        wrong = []
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            wrong.append(f"it still runs {STOP_SECONDS:.0f} seconds after SIGTERM")
        left = [pid for pid in found[1:] if _stays(pid)]
        if not wrong and left:
            wrong.append(f"{len(left)} of its child processes still run")
        if not wrong and not is_free(self.port):
            wrong.append(f"its port {self.port} is still in use")
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        return wrong


def start(backend: Backend, spec: BackendSpec, serving: Serving, folder: Path) -> Served:
    """Start the engine and wait until it is ready.

    Raises:
        CheckFailed: the engine ended, or was not ready in time.
    """
    process, log = launch(backend, serving, folder)
    host = f"http://{serving.host}:{serving.port}"
    ready = backend.command(serving).ready
    if not wait_ready(host + ready, alive=lambda: process.poll() is None, timeout=READY_SECONDS):
        code = process.poll()
        kill(process)
        how = f"it exited with code {code}" if code is not None else f"{ready} did not answer within {READY_SECONDS:.0f} seconds"
        raise CheckFailed(f"it does not serve the tiny model: {how}. {last_line(log)}")
    models = (serving.name, *(spec.adapter_model(serving.name, alias) for alias in serving.adapters))
    return Served(backend, Server(f"{host}/v1", models, serving.api_key), process, log)


def launch(backend: Backend, serving: Serving, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the engine without waiting for it; return its process and its log file, which is in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    command = backend.command(serving)
    with log.open("wb") as file:
        process = subprocess.Popen(
            command.argv,
            env={**interpreter_variables(serving.python), **command.env},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return process, log


def serving(checkpoint: Path, python: str, *, adapters: Mapping[str, Path] | None = None, **more: Any) -> Serving:
    """Return a `Serving` of the checkpoint on a free local port."""
    return Serving(checkpoint=checkpoint, name=NAME, adapters=adapters or {}, port=free_port(), python=python, **more)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all its descendants."""
    end_tree(process.pid)
    process.wait()


def is_free(port: int) -> bool:
    """Return whether no process listens on a local port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def last_line(log: Path) -> str:
    """Return a sentence with the last line of the log."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"Last line of its log: {lines[-1][:500]}" if lines else "Its log is empty"


def _stays(pid: int) -> bool:
    end = time.monotonic() + LEFT_SECONDS
    while alive(pid):
        if time.monotonic() > end:
            return True
        time.sleep(0.05)
    return False
