"""Verify from inside, before anything untrusted is run, that the sandbox isolates."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from swift_core.contract import SwiftError, UsageError
from swift_sandbox.command import PYTHON
from swift_sandbox.limits import Limits
from swift_sandbox.sandboxed_process import run_sandboxed

_PROBE = Path(__file__).with_name("probe.py")
_LIMITS = Limits(seconds=20.0, memory=256 << 20, processes=8, disk=8 << 20)
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """The interpreter of the code: the version of Python inside the sandbox."""

    python: str  # version of Python inside the sandbox


def verify_isolation() -> Isolation:
    """Return what runs the code, after a check (once per process) that the isolation holds.

    Raises:
        UsageError: the sandbox can't be made on this machine; the hint says what to install or to allow.
        SwiftError: it can be made, and does not isolate.
    """
    with _LOCK:
        return _verified()


@cache
def _verified() -> Isolation:
    if not Path(PYTHON).exists():
        raise UsageError(
            f"the sandbox needs {PYTHON}, which is not installed",
            code="SANDBOX-003",
            hint="Install it, for example: apt-get install python3.",
        )
    with (
        tempfile.NamedTemporaryFile(prefix="swift-sandbox-") as outside,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        name = f"\0swift-sandbox-{os.getpid()}"
        unix.bind(name)
        unix.listen()
        hidden = [str(Path.home()), outside.name, str(Path(__file__).resolve())]
        facts = {"port": tcp.getsockname()[1], "unix": name, "hidden": hidden, "memory": _LIMITS.memory, "processes": _LIMITS.processes}
        source = {"probe.py": _PROBE.read_bytes(), "facts.json": json.dumps(facts).encode()}
        outcome = run_sandboxed((PYTHON, "-B", "probe.py"), files=source, stdin=b"", limits=_LIMITS)
    if not outcome.passed:
        hint = (
            "It needs user namespaces: a container must allow them (--security-opt seccomp=unconfined or CAP_SYS_ADMIN), and Ubuntu's "
            "AppArmor needs a profile for bwrap. Nothing is run without isolation: docs/how-to/sandbox.md."
        )
        raise UsageError(f"the sandbox can't be created: {outcome.stderr.strip() or outcome.status}", code="SANDBOX-004", hint=hint)
    found = json.loads(outcome.stdout)
    broken = [*found["broken"], *([] if _can_watch() else ["its processes can't be watched in /proc"])]
    if broken:
        raise SwiftError(
            f"the sandbox is not isolated: {'; '.join(broken)}",
            code="SANDBOX-005",
            hint="Nothing is run in it. Report this with your kernel's version.",
        )
    return Isolation(python=found["python"])


def _can_watch() -> bool:
    """True if this kernel lists the children of a process, which the limits of all processes together are held with."""
    return Path(f"/proc/self/task/{threading.get_native_id()}/children").exists()
