"""Lock the output path of a run from its start: a second run into the same path is refused at once, naming the run that holds it.

The lock is an flock on a file beside the path, so the kernel releases it when the process ends for whatever reason.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from swift_core.contract import UsageError
from swift_core.system import disk_errors, make_folder


@contextmanager
def held(target: Path) -> Iterator[Callable[[Path], None]]:
    """Lock `target` for this process; yield a function that records the run folder which other processes are shown.

    Raises:
        UsageError: another run holds the lock, or the path is not writable.
    """
    path = _lock_of(target)
    made = _make(path.parent, target)
    handle = _locked(path, target)

    def record(folder: Path) -> None:
        if handle is not None:
            about = {"pid": os.getpid(), "host": socket.gethostname(), "run": str(folder.absolute()), "since": time.time()}
            with suppress(OSError):
                os.truncate(handle, 0)
                os.pwrite(handle, json.dumps(about).encode(), 0)

    try:
        yield record
    finally:
        if handle is not None:
            path.unlink(missing_ok=True)
            os.close(handle)
        for folder in made:  # those that are still empty
            with suppress(OSError):
                folder.rmdir()


def check_unheld(target: Path, *, where: str = "output") -> None:
    """Check that no other run holds `target`, without locking it.

    Raises:
        UsageError: another run holds it, which the message names; or the target is a root directory.
    """
    if not target.absolute().name:
        raise UsageError(f"'{target}' can't be used as an output", code="RUN-019", where=where, hint="Choose another folder.")
    with suppress(OSError):
        handle = os.open(_lock_of(target), os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(handle, target, where) from None
        finally:
            os.close(handle)


def _lock_of(target: Path) -> Path:
    target = target.absolute()
    return target.with_name(f".{target.name}.lock")


def _make(parent: Path, target: Path) -> list[Path]:
    """Create the folder and its missing parents; return the created folders, innermost first."""
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    with disk_errors(target):
        make_folder(parent)
    return missing


def _locked(path: Path, target: Path) -> int | None:
    """Return the descriptor of the locked file; None on a file system without locks."""
    while True:
        with disk_errors(target):
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            error = _taken(handle, target, "output")
            os.close(handle)
            raise error from None
        except OSError:
            path.unlink(missing_ok=True)
            os.close(handle)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        os.close(handle)  # the previous holder has just removed the file: try again


def _taken(handle: int, target: Path, where: str) -> UsageError:
    try:
        about = json.loads(os.pread(handle, 1 << 16, 0))
        who = f"the run {about['run']} (process {about['pid']} on {about['host']}, since {time.ctime(about['since'])})"
    except (ValueError, KeyError, OSError):  # not recorded yet
        who = "another run"
    return UsageError(
        f"'{target}' is being written by {who}", code="RUN-020", where=where, hint="Choose another folder, or wait until that run ends."
    )
