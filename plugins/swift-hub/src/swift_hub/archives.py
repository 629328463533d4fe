"""Reading wheels (zip) and source archives (tar.gz) without running or trusting anything in them."""

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

from swift_core.contract.errors import UsageError


@dataclass(frozen=True, slots=True)
class _Member:
    """`link` is where a link leads, seen from the archive's top; a member that is no plain file has an empty `file`."""

    name: str
    file: str = ""
    link: str = ""


class _Source(Protocol):
    def members(self) -> Iterator[_Member]: ...
    def open(self, name: str) -> IO[bytes]: ...


class Archive:
    """An open archive, made by `open_archive`. `names` are its plain files: links and devices are never taken out."""

    def __init__(self, path: Path, source: _Source) -> None:
        self._source = source
        members = list(source.members())
        for member in members:
            _refuse_climbing(path.name, member)
        self.names = [member.file for member in members if member.file]

    def read(self, name: str) -> bytes:
        """The contents of a small member."""
        with self._source.open(name) as file:
            return file.read()

    def extract(self, chosen: Mapping[str, str], folder: Path) -> None:
        """Write members into `folder`; `chosen` is {file name there: member}."""
        for target, name in chosen.items():
            with self._source.open(name) as source, (folder / target).open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a `.whl`, `.zip` or `.tar.gz` and check where its members would land.

    Raises:
        UsageError: damaged, or a member's name or link leads out of the folder ('zip slip').
    """
    try:
        if path.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(path) as zipped:
                yield Archive(path, _Zip(zipped))
        else:
            with tarfile.open(path) as tarred:
                yield Archive(path, _Tar(tarred))
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error) as error:
        raise UsageError(f"a damaged archive: {error}", where=path.name, hint="Delete it from the cache and fetch it again.") from error


def _refuse_climbing(archive: str, member: _Member) -> None:
    # A name with '..' in it is refused wherever it leads; a link may go up and down again inside of the archive.
    for target in (member.name, posixpath.normpath(member.link)):
        windows = PureWindowsPath(target)  # knows both kinds of slash, and drives
        if windows.drive or windows.root or ".." in windows.parts:
            raise UsageError(
                f"holds '{member.name}', which leads to '{target}', outside of its folder, so the archive is refused",
                where=archive,
                hint="Such archives are made to overwrite or read other files. Don't trust it.",
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
        assert file is not None  # only plain files are asked for
        return file
