"""A backend's engine on the tiny model, started by the command that the backend makes, without the core's tether.

The core ends an engine's whole process group. Here SIGTERM goes to the engine alone, as a container's manager sends it, so that an
engine which can't end by itself is seen.
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

from swift_serve.client import wait_ready

from swift_core.contract.roles import Backend, Server, Serving
from swift_core.contract.specs import BackendSpec
from swift_core.environments.interpreters import variables
from swift_core.runs.local_launcher import free_port
from swift_testing.kit.model import CheckFailed
from swift_testing.serving import alive, descendants, end_tree

NAME = "tiny"
READY_SECONDS = 240.0
STOP_SECONDS = 60.0
LEFT_SECONDS = 30.0  # for what an engine that has ended started, to end too


@dataclass(slots=True)
class Served:
    """An engine that runs; `server` is what clients need. `log` is what it has said."""

    backend: Backend
    server: Server
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.url.split(":")[2].split("/")[0])

    def stop(self) -> list[str]:
        """SIGTERM, and what was wrong after it: nothing, if it ended, left no process and freed its port."""
        found = descendants(self.process.pid)
        self.process.terminate()
        wrong = []
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            wrong.append(f"it still runs {STOP_SECONDS:.0f} seconds after SIGTERM")
        left = [pid for pid in found[1:] if _stays(pid)]
        if not wrong and left:
            wrong.append(f"it left {len(left)} of its processes behind")
        if not wrong and not is_free(self.port):
            wrong.append(f"something still listens on its port {self.port}")
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        return wrong


def start(backend: Backend, spec: BackendSpec, serving: Serving, folder: Path) -> Served:
    """Start the engine and wait until it is ready.

    Raises:
        CheckFailed: it ended, or was not ready in time.
    """
    process, log = launch(backend, serving, folder)
    host = f"http://{serving.host}:{serving.port}"
    ready = backend.command(serving).ready
    if not wait_ready(host + ready, alive=lambda: process.poll() is None, timeout=READY_SECONDS):
        code = process.poll()
        kill(process)
        how = f"it ended with code {code}" if code is not None else f"{ready} did not answer in {READY_SECONDS:.0f} seconds"
        raise CheckFailed(f"it does not serve the tiny model: {how}. {last_line(log)}")
    models = (serving.name, *(spec.adapter_model(serving.name, alias) for alias in serving.adapters))
    return Served(backend, Server(f"{host}/v1", models, serving.api_key), process, log)


def launch(backend: Backend, serving: Serving, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the engine and wait for nothing; its log is in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    command = backend.command(serving)
    with log.open("wb") as file:
        process = subprocess.Popen(
            command.argv,
            env={**variables(serving.python), **command.env},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return process, log


def serving(checkpoint: Path, python: str, *, adapters: Mapping[str, Path] | None = None, **more: Any) -> Serving:
    """What is served, on a free port of this machine."""
    return Serving(checkpoint=checkpoint, name=NAME, adapters=adapters or {}, port=free_port(), python=python, **more)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it started."""
    end_tree(process.pid)
    process.wait()


def is_free(port: int) -> bool:
    """Whether nothing listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def last_line(log: Path) -> str:
    """The last thing it said."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"It said: {lines[-1][:500]}" if lines else "It said nothing"


def _stays(pid: int) -> bool:
    end = time.monotonic() + LEFT_SECONDS
    while alive(pid):
        if time.monotonic() > end:
            return True
        time.sleep(0.05)
    return False
