"""Runs inside the sandbox: tries what must be impossible there, and prints what was possible as JSON."""

from __future__ import annotations

import json
import mmap
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def possible(attempt: Callable[[], object]) -> bool:
    """Return whether the attempt succeeds."""
    try:
        attempt()
    except (OSError, MemoryError):
        return False
    return True


def forks(limit: int) -> int:
    """Return how many child processes can exist at the same time, at most `limit`."""
    started: list[int] = []
    try:
        while len(started) < limit:
            child = os.fork()
            if child == 0:
                signal.pause()
            started.append(child)
    except OSError:
        pass
    for child in started:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(started)


def connect(family: int, address: Any) -> None:
    """Connect to an address of the host."""
    with socket.socket(family) as client:
        client.settimeout(1)
        client.connect(address)


def broken(facts: dict[str, Any]) -> Iterator[str]:
    """Yield what the sandbox does not prevent."""
    if possible(lambda: connect(socket.AF_INET, ("127.0.0.1", facts["port"]))):
        yield "a port of the host can be reached"
    if possible(lambda: connect(socket.AF_UNIX, facts["unix"])):
        yield "a Unix socket of the host can be reached"
    if possible(lambda: socket.socket(socket.AF_INET)):
        yield "a network socket can be opened"
    interfaces = {name for _, name in socket.if_nameindex()} if possible(socket.if_nameindex) else set()
    if interfaces - {"lo"}:
        yield f"there are network interfaces: {', '.join(sorted(interfaces))}"
    for path in facts["hidden"]:
        if Path(path).exists():
            yield f"{path} is visible"
    for path in ("/", "/usr", "/dev", "/dev/shm", "/proc"):
        if possible(lambda path=path: Path(path, "swift-sandbox").touch()):  # type: ignore[misc]
            yield f"{path} can be written"
    if 0 in (os.getuid(), os.geteuid()):
        yield "it runs as root"
    processes = [name for name in os.listdir("/proc") if name.isdigit()]
    if len(processes) > 3:
        yield f"{len(processes)} processes are visible"
    if possible(lambda: mmap.mmap(-1, facts["memory"])):
        yield "memory is not limited"
    if forks(4 * facts["processes"]) >= facts["processes"]:
        yield "processes are not limited, as they are not for root"


if __name__ == "__main__":
    given = json.loads(Path("facts.json").read_text(encoding="utf-8"))
    answer = {"broken": list(broken(given)), "python": sys.version.split()[0]}
    sys.stdout.write(json.dumps(answer))
