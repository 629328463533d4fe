"""Lock on an environment, so that one process at a time changes it; released by the kernel if its holder is killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from swift_core.system import paths


@contextmanager
def locked(folder: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Hold the lock file beside `folder` and yield its descriptor.

    A child process that inherits the descriptor holds the lock too, so no other process touches the folder before the child has ended,
    even if the parent was killed. `waiting` is called if another process holds the lock.
    """
    import fcntl  # not available on Windows, where the rest of the program still works

    path = folder.with_name(f".{folder.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise paths.disk_error(error, path) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
