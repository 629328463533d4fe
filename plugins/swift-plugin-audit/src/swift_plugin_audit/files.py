"""Append-only files of lines: never through a symbolic link, whole lines or none, on the disk before the call returns."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from swift_core.contract import SwiftError
from swift_core.system import disk_errors

_BLOCK = 65_536  # bytes


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a file: its last whole line, and what follows it, which a killed process or a lost disk left behind."""

    line: bytes = b""
    torn: bytes = b""

    @property
    def about_torn(self) -> dict[str, object]:
        """Return the length and SHA-256 of the torn bytes."""
        return {"bytes": len(self.torn), "sha256": hashlib.sha256(self.torn).hexdigest()}


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file of lines for appending, made with its folder (private to the user) if it does not exist; yield the descriptor.

    Raises:
        SwiftError: it is a symbolic link, no regular file, has a second name (hard link), or can't be written.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        check_place(path)
        new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise _unfit(path, "is not a file with one name")
            yield descriptor
            if new:
                _sync_folder(path.parent)
        finally:
            os.close(descriptor)


def check_place(path: Path) -> None:
    """Refuse a symbolic link or anything that is no regular file.

    Raises:
        SwiftError: it is one.
    """
    if path.is_symlink():
        raise _unfit(path, "is a symbolic link")
    if path.exists() and not path.is_file():
        raise _unfit(path, "is not a file")


def tail(descriptor: int) -> Tail:
    """Return the end of an open file."""
    size = os.fstat(descriptor).st_size
    start, data = size, b""
    while start and data.count(b"\n") < 2:
        step = min(max(_BLOCK, len(data)), start)
        start -= step
        data = os.pread(descriptor, step, start) + data
    whole, _, torn = data.rpartition(b"\n")
    return Tail(whole.rpartition(b"\n")[2], torn)


def cut(descriptor: int, torn: bytes) -> None:
    """Remove the torn end of a file."""
    os.ftruncate(descriptor, os.fstat(descriptor).st_size - len(torn))


def append(descriptor: int, lines: bytes) -> None:
    """Write lines and bring them to the disk; nothing is left of them if that fails.

    Raises:
        OSError: the disk is full or fails.
    """
    before = os.fstat(descriptor).st_size
    try:
        rest = memoryview(lines)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except BaseException:
        os.ftruncate(descriptor, before)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unfit(path: Path, what: str) -> SwiftError:
    hint = "Remove it, or name another place with SWIFT_AUDIT_LOG or SWIFT_AUDIT_HEADS."
    return SwiftError(f"it {what}, which an audit log must not be", code="AUDIT-002", where=str(path), hint=hint)
