"""Runs that have started and not ended: a marker for each, locked by the process that carries it out.

The kernel releases the lock when the process ends, however it ends. A marker that is not locked is of a run whose end nobody recorded: its
process was killed, or the machine went down.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from swift_core.contract import ResultRecord
from swift_core.system import disk_errors, read_result
from swift_plugin_audit.places import Places

_held: dict[Path, tuple[int, Path]] = {}  # run folder → locked descriptor and marker, of this process


class OpenRuns:
    """The markers, in a folder beside the log."""

    def __init__(self, places: Places) -> None:
        self.folder = places.log.with_name(f"{places.log.name}.open")
        self._ended: list[tuple[int, Path]] = []

    def begin(self, folder: Path) -> None:
        """Mark a run as running, until this process ends or `end` is called."""
        folder = folder.absolute()
        marker = self.folder / f"{folder.name}-{os.getpid()}.json"
        with disk_errors(marker):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(marker, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, json.dumps({"run": folder.name, "folder": str(folder)}).encode())
        _held[folder] = descriptor, marker

    def end(self, folder: Path) -> None:
        """Remove the mark of a run."""
        if held := _held.pop(folder.absolute(), None):
            held[1].unlink(missing_ok=True)
            os.close(held[0])

    def ended(self) -> Iterator[tuple[str, Path, ResultRecord | None]]:
        """Yield the name, folder and result (if it has one) of each run whose process is gone; `forget_ended` removes their marks."""
        for marker in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else ():
            try:
                descriptor = os.open(marker, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.fstat(descriptor).st_nlink:  # another process has recorded it meanwhile
                    raise BlockingIOError
                about = json.loads(os.pread(descriptor, 65_536, 0) or b"null")
            except (BlockingIOError, ValueError):
                os.close(descriptor)
                continue
            self._ended.append((descriptor, marker))
            if isinstance(about, dict) and isinstance(about.get("run"), str) and isinstance(about.get("folder"), str):
                yield about["run"], Path(about["folder"]), _result(Path(about["folder"]))

    def forget_ended(self) -> None:
        """Remove the marks of the runs that `ended` has yielded."""
        while self._ended:
            descriptor, marker = self._ended.pop()
            marker.unlink(missing_ok=True)
            os.close(descriptor)


def _result(folder: Path) -> ResultRecord | None:
    """Return what the run folder says of the end, if anything."""
    try:
        return read_result(folder)
    except (OSError, ValueError):
        return None
