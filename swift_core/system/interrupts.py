"""Signal handling: Ctrl-C at any moment prints one line and exits with code 130. SIGTERM is handled like Ctrl-C.

Until the command line is set up, a signal ends the process at once, since no work has started. From then on it raises
KeyboardInterrupt and is recorded, since an interrupted import or library may turn it into another exception.
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
    """Install the handlers that end the process immediately."""
    for number in _NUMBERS:
        signal.signal(number, _end)


def listen() -> None:
    """Install the handlers that record the signal and raise KeyboardInterrupt."""
    global _seen  # noqa: PLW0603 (a signal handler can only set module state)
    _seen = False
    for number in _NUMBERS:
        signal.signal(number, _raise)


def seen() -> bool:
    """Return whether a signal has arrived since `listen` or `forget`."""
    return _seen


def forget() -> None:
    """Clear the record of a signal, once it has been handled."""
    global _seen  # noqa: PLW0603
    _seen = False


def leave(code: int) -> None:
    """Exit with `code`; after an interruption (130), without waiting for running threads."""
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


if sys.argv[:1] == ["-m"]:  # `python -m swift_core.cli`, which imports this package before it runs the command line
    arm()
