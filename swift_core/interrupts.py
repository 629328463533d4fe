"""Ctrl-C at any moment: one line and exit code 130. SIGTERM is a Ctrl-C.

From the first lines that run until the command line is there, a signal ends the process at once: nothing has begun. From then on it
raises KeyboardInterrupt, and it is remembered, since an import or a library that is interrupted may make another error of it.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

CODE = 130
_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_seen = False


def arm() -> None:
    """End at once at a signal, from now on."""
    for number in _NUMBERS:
        signal.signal(number, _end)


def listen() -> None:
    """Raise KeyboardInterrupt at a signal, from now on."""
    global _seen  # noqa: PLW0603 (a signal has no other place)
    _seen = False
    for number in _NUMBERS:
        signal.signal(number, _raise)


def seen() -> bool:
    """Whether a signal has come since `listen`."""
    return _seen


def forget() -> None:
    """The signal has been dealt with."""
    global _seen  # noqa: PLW0603
    _seen = False


def leave(code: int) -> None:
    """End the process; one that was stopped does not wait for threads that are still at work."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)
    if code == CODE:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
        os._exit(code)
    sys.exit(code)


def _end(_number: int, _frame: FrameType | None) -> None:
    os.write(2, b"stopped\n")
    os._exit(CODE)


def _raise(_number: int, _frame: FrameType | None) -> None:
    global _seen  # noqa: PLW0603
    _seen = True
    raise KeyboardInterrupt


if sys.argv[:1] == ["-m"]:  # `python -m swift_core.cli`, which imports the package of the command line before anything of it runs
    arm()
