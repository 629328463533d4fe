"""Process supervisor that ends a command together with its parent: `python -m swift_core.system.supervisor [--grace SECONDS] -- COMMAND…`.

The command runs in its own process group. When stdin closes (the parent closed it, or died for any reason) or SIGTERM arrives, the
whole group receives SIGTERM, and SIGKILL after the grace period. So no engine outlives the process that started it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from types import FrameType


def argv(command: tuple[str, ...] | list[str], *, grace: float = 10.0) -> list[str]:
    """Return the command line that runs `command` supervised; start it with stdin=PIPE and keep the pipe open.

    Args:
        command: the program and its arguments.
        grace: seconds between SIGTERM and SIGKILL.
    """
    return [sys.executable, "-m", "swift_core.system.supervisor", "--grace", str(grace), "--", *command]


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the process group that `process` leads; do nothing if the group no longer exists."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def end_group(process: subprocess.Popen[bytes], grace: float) -> None:
    """Send SIGTERM to the group, and SIGKILL to what is left of it after `grace` seconds."""
    signal_group(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    signal_group(process, signal.SIGKILL)
    process.wait()


def main() -> int:
    """Run the command until it ends, stdin closes or SIGTERM arrives; return its exit code."""
    separator = sys.argv.index("--")
    grace = float(sys.argv[sys.argv.index("--grace") + 1]) if "--grace" in sys.argv[:separator] else 10.0
    process = subprocess.Popen(sys.argv[separator + 1 :], stdin=subprocess.DEVNULL, start_new_session=True)
    ending = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        ending.set()

    def on_close() -> None:
        with suppress(OSError):
            while os.read(0, 1024):
                pass
        ending.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is handled by the parent, which then closes stdin
    threading.Thread(target=on_close, daemon=True).start()
    while process.poll() is None:
        if ending.wait(0.1):
            end_group(process, grace)
    signal_group(process, signal.SIGKILL)  # remaining children of a command that crashed
    code = process.returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    raise SystemExit(main())
