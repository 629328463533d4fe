"""Ties a command to whoever started it: `python -m swift_core.tether [--grace SECONDS] -- COMMAND…`.

The command runs in a process group of its own. When stdin closes (the parent ended it, or died, however) or SIGTERM comes, the
whole group is asked to end, and killed when the grace is over. So no engine outlives the tool that started it.
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
    """The arguments that run `command` tethered; start them with stdin=PIPE and keep the pipe open."""
    return [sys.executable, "-m", "swift_core.tether", "--grace", str(grace), "--", *command]


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal the process group that `process` leads; nothing if it is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def end_group(process: subprocess.Popen[bytes], grace: float) -> None:
    """SIGTERM to the group, SIGKILL to what is left of it after `grace` seconds."""
    signal_group(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    signal_group(process, signal.SIGKILL)
    process.wait()


def main() -> int:
    """Run the command until it ends or the tether is cut; its exit code is ours."""
    cut = sys.argv.index("--")
    grace = float(sys.argv[sys.argv.index("--grace") + 1]) if "--grace" in sys.argv[:cut] else 10.0
    process = subprocess.Popen(sys.argv[cut + 1 :], stdin=subprocess.DEVNULL, start_new_session=True)
    ending = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        ending.set()

    def on_close() -> None:
        with suppress(OSError):
            while os.read(0, 1024):
                pass
        ending.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the parent, which cuts the tether
    threading.Thread(target=on_close, daemon=True).start()
    while process.poll() is None:
        if ending.wait(0.1):
            end_group(process, grace)
    signal_group(process, signal.SIGKILL)  # children that a crashed command left behind
    code = process.returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    raise SystemExit(main())
