"""A folder by its path, or by its URL in an object store (fsspec), such as s3://bucket/corpus.tokens."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swift_core.contract import SwiftError, UsageError
from swift_core.system import atomic_folder, disk_errors, make_folder, network

LAST = "meta.json"  # of the files of a folder, the one that is uploaded last: with it the folder is whole


def is_url(place: str) -> bool:
    """Return True if a place is a URL and not a path."""
    return "://" in place


class Storage:
    """Files of a folder. `local` is its path, or None if it is in an object store.

    Raises:
        UsageError: the network is forbidden, or the library for this kind of store is not installed.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.local = None if is_url(place) and not place.startswith("file://") else Path(place.removeprefix("file://")).expanduser()
        if self.local is None:
            self._files, self._root = _connected(place)

    def read(self, name: str, start: int | None = None, stop: int | None = None) -> bytes:
        """Return a file, or a range of its bytes.

        Raises:
            FileNotFoundError: there is no such file.
        """
        if self.local is None:
            return bytes(self._asked("read", lambda: self._files.cat_file(f"{self._root}/{name}", start=start, end=stop)))
        with (self.local / name).open("rb") as file:
            file.seek(start or 0)
            return file.read(-1 if stop is None else stop - (start or 0))

    def find(self, name: str) -> bytes | None:
        """Return a file, or None if there is none."""
        try:
            return self.read(name)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all."""
        if self.local is None:
            self._asked("write", lambda: self._files.pipe_file(f"{self._root}/{name}", data))
            return
        path = self.local / name
        with disk_errors(path), tempfile.TemporaryDirectory(prefix=".part-", dir=_made(path.parent)) as folder:
            aside = Path(folder) / path.name
            aside.write_bytes(data)
            aside.replace(path)

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """Yield an empty local folder to fill, which becomes the folder `name` if the block succeeds; one that is there is replaced."""
        if self.local is not None:
            with atomic_folder(self.local / name, overwrite=True) as aside:
                yield aside
            return
        with tempfile.TemporaryDirectory(prefix="swift-shard-") as made:
            yield Path(made)
            for path in sorted(Path(made).iterdir(), key=lambda path: path.name == LAST):
                self._put(path, name)

    def fetch(self, name: str, target: Path) -> None:
        """Download the files of a folder into an empty folder."""
        for path in self._asked("read", lambda: self._files.ls(f"{self._root}/{name}", detail=False)):
            self._asked("read", lambda path=path: self._files.get_file(path, str(target / path.rpartition("/")[2])))

    def remove(self, name: str = "") -> None:
        """Remove a folder, or all of the place, if it is there."""
        if self.local is not None:
            shutil.rmtree(self.local / name if name else self.local, ignore_errors=True)
        elif self._files.exists(place := f"{self._root}/{name}".rstrip("/")):
            self._asked("remove", lambda: self._files.rm(place, recursive=True))

    def _put(self, path: Path, name: str) -> None:
        self._asked("write", lambda: self._files.put_file(str(path), f"{self._root}/{name}/{path.name}"))

    def _asked(self, verb: str, ask: Any) -> Any:
        try:
            return ask()
        except FileNotFoundError:
            raise
        except Exception as error:
            message = f"the store refuses to {verb}: {type(error).__name__}: {error}"
            raise SwiftError(
                message, code="DATA-189", where=self.place, hint="Check the bucket, its region and your credentials."
            ) from error


def _connected(place: str) -> tuple[Any, str]:
    """Return the file system of a URL, and its path there."""
    if network.offline():
        raise UsageError(
            f"offline, and {place} is not on this machine",
            code="DATA-190",
            where=place,
            hint="Unset SWIFT_OFFLINE, or give a local folder.",
        )
    from fsspec.core import url_to_fs

    try:
        files, root = url_to_fs(place)
    except ImportError as error:
        raise UsageError(
            f"this kind of store needs a library: {error}", code="DATA-191", where=place, hint="pip install s3fs, gcsfs or adlfs"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"not a store that fsspec knows: {error}", code="DATA-192", where=place, hint="Write s3://BUCKET/FOLDER, gs://… or a path."
        ) from error
    except Exception as error:
        message = f"can't be opened: {type(error).__name__}: {error}"
        raise SwiftError(message, code="DATA-193", where=place, hint="Check the bucket and your credentials.") from error
    return files, root.rstrip("/")


def _made(folder: Path) -> Path:
    make_folder(folder)
    return folder
