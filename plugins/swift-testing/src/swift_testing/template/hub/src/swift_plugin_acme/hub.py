"""Archives are unpacked once, into a cache folder named after the archive's hash, so changed content gets another folder."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from swift_hub.archives import open_archive

from swift_core.contract import Progress, Reference, UsageError, suggestion
from swift_core.system import paths


class Acme:
    """Unpacks the folder with the `config.json` from an archive, and packs folders into archives."""

    def __init__(self, options: None = None) -> None:
        del options

    def fetch(self, reference: Reference, *, only: Sequence[str] = (), code: bool = False, progress: Progress | None = None) -> Path:
        """Unpack the checkpoint and return its folder.

        Args:
            reference: the path of the archive, behind the scheme.
            only: patterns of the files to unpack; empty for all.
            code: include the checkpoint's own Python files.
            progress: not used, since archives are local.

        Raises:
            UsageError: the archive does not exist, has no checkpoint or would write outside its folder, or a revision is given.
        """
        if reference.revision:
            raise UsageError("archives have no revisions", where=str(reference), hint=f"Use {reference.scheme}:{reference.name}.")
        archive = Path(reference.name).expanduser()
        if not archive.is_file():
            beside = [path.name for path in archive.parent.glob("*")]
            raise UsageError("there is no such archive", where=str(archive), hint=suggestion(archive.name, beside) or "Check the path.")
        digest = paths.digest([paths.sha256(archive), sorted(only), code])[:32]
        folder = paths.cache_dir("acme") / digest
        if not folder.is_dir():
            with open_archive(archive) as opened, paths.atomic_folder(folder) as aside:
                opened.extract(_chosen(opened.names, only, code, archive), aside)
        return folder

    def push(self, folder: Path, reference: Reference, *, message: str, private: bool = True) -> str:
        """Pack the folder's files into a new archive; return its path."""
        archive = Path(reference.name).expanduser()
        with zipfile.ZipFile(archive, "x", zipfile.ZIP_STORED) as packed:  # weights do not compress
            for path in sorted(folder.iterdir()):
                packed.write(path, path.name)
        return str(archive)


def _chosen(names: Sequence[str], only: Sequence[str], code: bool, archive: Path) -> dict[str, str]:
    """Map file name → archive member for the folder that has the `config.json`."""
    top = next((PurePosixPath(name).parent for name in names if PurePosixPath(name).name == "config.json"), None)
    if top is None:
        raise UsageError("contains no checkpoint: it has no config.json", where=str(archive), hint="Pack the checkpoint folder.")
    beside = {PurePosixPath(name).name: name for name in names if PurePosixPath(name).parent == top}
    return {
        name: member
        for name, member in beside.items()
        if (any(fnmatch(name, pattern) for pattern in only) if only else code or not name.endswith(".py"))
    }
