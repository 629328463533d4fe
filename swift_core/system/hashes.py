"""SHA-256 of large files, each computed once: taken from the hub's cache if the blob name is the hash, else cached by us.

A cached hash is valid as long as the file's path, size, modification time and inode are unchanged.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from swift_core.contract import Progress, SwiftError
from swift_core.system import paths

_SMALL = 1_000_000  # bytes; reading a smaller file is faster than looking up its cached hash
_BLOCK = 16_000_000  # bytes per read
_SETTLED = 2.0  # seconds: a file that changed just now may change again within one tick of its modification time
_DIGITS = frozenset("0123456789abcdef")


def sha256_of(files: Iterable[Path], progress: Progress | None = None) -> dict[Path, str]:
    """Return the SHA-256 of each file in hex; `progress` is called with the bytes read and the total, if files must be read."""
    known = {path: _known(path) for path in files}
    total = sum(path.stat().st_size for path, found in known.items() if not found)
    done = 0

    def step(size: int) -> None:
        nonlocal done
        done += size
        if progress and total > _SMALL:
            progress("hashing the checkpoint", done, total)

    return {path: found or _read(path, step) for path, found in known.items()}


def remember_sha256(path: Path, sha256: str) -> None:
    """Record the SHA-256 that a hub states for a file which was verified while it was downloaded, so that it is not read again."""
    if path.stat().st_size >= _SMALL:
        with suppress(OSError, SwiftError):  # if the cache can't be written, the file is read again next time
            paths.write_json(_place(path), {"is": _identity(path), "sha256": sha256})


def _known(path: Path) -> str:
    if path.is_symlink():
        blob = path.resolve()
        if blob.parent.name == "blobs" and len(blob.name) == 64 and set(blob.name) <= _DIGITS:  # Hugging Face's cache
            return blob.name
    if path.stat().st_size < _SMALL:
        return ""
    with suppress(OSError, ValueError):
        kept = json.loads(_place(path).read_text(encoding="utf-8"))
        if kept["is"] == _identity(path):
            return str(kept["sha256"])
    return ""


def _read(path: Path, step: Callable[[int], None]) -> str:
    before, digest = _identity(path), hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            step(len(block))
    settled = time.time() - path.stat().st_mtime > _SETTLED
    if settled and _identity(path) == before:
        remember_sha256(path, digest.hexdigest())
    return digest.hexdigest()


def _identity(path: Path) -> list[str | int]:
    found = path.stat()
    return [str(path.resolve()), found.st_size, found.st_mtime_ns, found.st_ino]


def _place(path: Path) -> Path:
    return paths.cache_dir("hashes", f"{paths.digest(str(path.resolve()))[:32]}.json")
