"""Read wheels (zip) and source archives (tar.gz) safely: nothing in them is executed, and paths are checked."""

from __future__ import annotations

import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import IO, Protocol

from swift_core.contract import UsageError


@dataclass(frozen=True, slots=True)
class _Member:
    """A member: `link` is a link's target relative to the top of the archive; `file` is '' unless it is a regular file."""

    name: str
    file: str = ""
    link: str = ""


class _Source(Protocol):
    def members(self) -> Iterator[_Member]: ...
    def open(self, name: str) -> IO[bytes]: ...


class Archive:
    """An open archive, created by `open_archive`. `names` are its regular files: links and devices are never extracted."""

    def __init__(self, path: Path, source: _Source) -> None:
        self._source = source
        members = list(source.members())
        for member in members:
            _refuse_climbing(path.name, member)
        self.names = [member.file for member in members if member.file]

    def read(self, name: str) -> bytes:
        """Return the contents of a small member."""
        with self._source.open(name) as file:
            return file.read()

    def extract(self, chosen: Mapping[str, str], folder: Path) -> None:
        """Write members into `folder`; `chosen` maps target file names to members."""
        for target, name in chosen.items():
            with self._source.open(name) as source, (folder / target).open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a `.whl`, `.zip` or `.tar.gz` and check the paths of its members.

    Raises:
        UsageError: the archive is damaged, or a member's name or link leads out of its folder (zip slip).
    """
    try:
        if path.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(path) as zipped:
                yield Archive(path, _Zip(zipped))
        else:
            with tarfile.open(path) as tarred:
                yield Archive(path, _Tar(tarred))
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error) as error:
        raise UsageError(
            f"the archive is damaged: {error}", code="HUB-001", where=path.name, hint="Delete it from the cache and fetch it again."
        ) from error


def _refuse_climbing(archive: str, member: _Member) -> None:
    # A name with '..' is always refused; a link may use '..' if its target is inside the archive.
    for target in (member.name, posixpath.normpath(member.link)):
        windows = PureWindowsPath(target)  # handles both kinds of slash, and drives
        if windows.drive or windows.root or ".." in windows.parts:
            raise UsageError(
                f"unsafe archive: its member '{member.name}' leads to '{target}', outside of the target folder",
                code="HUB-002",
                where=archive,
                hint="Don't use it: such archives are made to overwrite or read other files.",
            )


class _Zip:
    def __init__(self, source: zipfile.ZipFile) -> None:
        self._source = source

    def members(self) -> Iterator[_Member]:
        for item in self._source.infolist():
            if stat.S_ISLNK(item.external_attr >> 16):
                target = self._source.read(item).decode("utf-8", "replace")
                yield _Member(item.filename, link=posixpath.join(posixpath.dirname(item.filename), target))
            else:
                yield _Member(item.filename, file="" if item.is_dir() else item.filename)

    def open(self, name: str) -> IO[bytes]:
        return self._source.open(name)


class _Tar:
    def __init__(self, source: tarfile.TarFile) -> None:
        self._source = source

    def members(self) -> Iterator[_Member]:
        for item in self._source:
            if item.issym():
                yield _Member(item.name, link=posixpath.join(posixpath.dirname(item.name), item.linkname))
            else:
                yield _Member(item.name, file=item.name if item.isfile() else "", link=item.linkname if item.islnk() else "")

    def open(self, name: str) -> IO[bytes]:
        file = self._source.extractfile(name)
        assert file is not None  # only regular files are opened
        return file
