"""Paths of the cache, and folders that are written aside and renamed, so that no half-written one is ever seen."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from swift_core.contract import DiskFull, NotWritable, SwiftError, UsageError

RUN_NAME = "SWIFT_RUN"  # the name of the run that a process belongs to; it is in the names of the folders that it writes aside


def cache_dir(*parts: str) -> Path:
    """Return the cache folder, `$SWIFT_HOME` or `~/.cache/swift-core`, joined with `parts`; it is not created."""
    home = os.environ.get("SWIFT_HOME")
    base = Path(home) if home else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "swift-core"
    return base.joinpath(*parts)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with disk_errors(path):
        make_folder(path.parent)
        aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with aside.open("x", encoding="utf-8") as file:
                file.write(text)
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise


def make_folder(folder: Path) -> None:
    """Make a folder and those above it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON, readable, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n")


@contextmanager
def atomic_folder(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a folder to fill; it becomes `target` if the block succeeds, and is removed otherwise.

    Raises:
        UsageError: `target` exists, is not an empty folder, and `overwrite` was not given. If it came while the block ran, what was
            made is kept beside it.
        SwiftError: the disk is full or not writable.
    """
    check_free(target, overwrite=overwrite)
    with disk_errors(target):
        make_folder(target.parent)
        aside = target.with_name(f"{_aside(target, os.environ.get(RUN_NAME, ''))}{secrets.token_hex(8)}")
        aside.mkdir()
        mode = aside.stat().st_mode & 0o777  # what the umask allows; reading that itself means changing it for all threads
    try:
        with disk_errors(target):
            yield aside
            for path in aside.rglob("*"):  # some libraries write through temporary files that only their owner may read
                path.chmod(mode if path.is_dir() else mode & 0o666)
            _put(aside, target, overwrite=overwrite)
    except BaseException as error:
        _remove(aside)
        if isinstance(error, DiskFull) and aside.name in error.where:  # from an engine, which knows only this folder
            raise DiskFull(error.message, code=error.code, where=str(target), hint=error.hint) from error
        raise


def _put(aside: Path, target: Path, *, overwrite: bool) -> None:
    """Give what was made its name; what had the name before is removed, or back in its place if that fails."""
    if not overwrite and _taken(target):
        kept = target.with_name(f"{target.name}-{aside.name.rpartition('.')[2]}")
        aside.rename(kept)
        raise UsageError(
            f"'{target}' was created by another process in the meantime",
            code="FILE-002",
            where="output",
            hint=f"The result is kept in {kept}",
        )
    if not target.exists():
        aside.rename(target)
        return
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    target.rename(old)
    try:
        aside.rename(target)
    except BaseException:
        old.rename(target)
        raise
    _remove(old)


def _taken(target: Path) -> bool:
    return target.exists() and not (target.is_dir() and not any(target.iterdir()))


def remove_asides(target: Path, run: str) -> None:
    """Remove what processes of the run, all of them gone now, had begun to write for `target`: one that is killed leaves it behind."""
    with suppress(OSError):
        for path in target.parent.iterdir():
            if _aside(target, run) in path.name:  # an engine's own, aside from this one, has the whole of its name
                _remove(path)


def check_free(target: Path, *, overwrite: bool, where: str = "output") -> None:
    """Refuse a target that exists, or is a link, before any work is done for it."""
    if target.is_symlink():
        place = target.parent / target.readlink()
        problem = f"'{target}' is a link to {place}, which the result would replace instead of writing to its target"
        raise UsageError(problem, code="FILE-003", where=where, hint=f"Use the folder itself: --output {place}")
    with disk_errors(target):
        if overwrite or not _taken(target):
            return
    raise UsageError(f"'{target}' exists", code="FILE-004", where=where, hint="Choose another folder, or add --overwrite to replace it.")


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _aside(target: Path, run: str) -> str:
    return f".{target.name}.{run}." if run else f".{target.name}."


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Return the size in bytes of a file, or of all files in a folder; links are followed."""
    return path.stat().st_size if path.is_file() else sum(item.stat().st_size for item in path.rglob("*") if item.is_file())


_FREE = "Free some space and run the command again; no partial files were left."
_ELSEWHERE = "Choose another folder: --output for the result, --runs for run folders, SWIFT_HOME for the cache."
_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your disk quota is exceeded",
    errno.EFBIG: "a file exceeds the maximum file size of this disk or of your user limit",
}
_REFUSED = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the disk is read-only",
    errno.ENAMETOOLONG: "the name is too long for this disk",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.ELOOP: "its symbolic links form a loop",
    errno.EIO: "the disk failed (input/output error)",
    errno.ESTALE: "the network file system has lost this file (stale handle)",
}


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Tell what the disk refuses in words, whoever raises it."""
    try:
        yield
    except SwiftError:
        raise
    except Exception as error:
        translated = disk_error(error, target)
        if translated is error:
            raise
        raise translated from error


def disk_error(error: Exception, target: Path) -> Exception:
    """Translate a disk error of the system into a SwiftError; return any other error unchanged.

    Some libraries raise an error of their own on the disk's; those in other languages tell its number in their text only.
    """
    full, number = _number_of(error), _own_number(error)
    named = error.filename2 or error.filename if isinstance(error, OSError) else None
    where = str(target if named is None or isinstance(named, int) else os.fsdecode(named))
    if full in _FULL:
        return DiskFull(_FULL[full], code="FILE-005", where=str(target), hint=_FREE)
    if number in _REFUSED:
        return NotWritable(_REFUSED[number], code="FILE-006", where=where, hint=_ELSEWHERE)
    if number in (errno.EMFILE, errno.ENFILE):
        return SwiftError("too many files are open", code="FILE-007", where=where, hint="Raise the limit: ulimit -n 65536.")
    return error


def _number_of(error: BaseException | None) -> int | None:
    """Return the errno of an error, or of its cause."""
    while error:
        if (number := _own_number(error)) is not None:
            return number
        error = error.__cause__ or error.__context__
    return None


def _own_number(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        short = error.errno is None and re.fullmatch(r"\d+ requested and \d+ written", str(error))  # NumPy's `tofile`
        return errno.ENOSPC if short else error.errno
    found = re.search(r"\(os error (\d+)\)|\[Errno (\d+)\]", str(error))
    return int(found[1] or found[2]) if found else None
