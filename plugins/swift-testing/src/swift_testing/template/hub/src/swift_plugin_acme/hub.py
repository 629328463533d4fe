"""Archives are unpacked once, into a cache folder named after the archive's hash, so changed content gets another folder."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from swift_hub.archives import open_archive

from swift_core.contract import Progress, Reference, Select, UsageError, suggestion
from swift_core.system import paths


class Acme:
    """Unpacks the folder with the `config.json` from an archive, and packs folders into archives."""

    def __init__(self, options: None = None) -> None:
        del options

    def fetch(self, reference: Reference, *, select: Select, progress: Progress | None = None) -> Path:
        """Unpack the checkpoint and return its folder.

        Args:
            reference: the path of the archive, behind the scheme.
            select: chooses among the names of the files beside `config.json`.
            progress: not used, since archives are local.

        Raises:
            UsageError: the archive does not exist, has no checkpoint or would write outside its folder, or a revision is given.
        """
        if reference.revision:
            raise UsageError("archives have no revisions", where=str(reference), hint=f"Use {reference.scheme}:{reference.name}.")
        archive = Path(reference.name).expanduser()
        if not archive.is_file():
            others = [path.name for path in archive.parent.glob("*")]
            raise UsageError("there is no such archive", where=str(archive), hint=suggestion(archive.name, others) or "Check the path.")
        with open_archive(archive) as opened:
            beside = _beside_config(opened.names, archive)
            chosen = {name: beside[name] for name in select(list(beside))}
            folder = paths.cache_dir("acme") / paths.digest([paths.sha256(archive), sorted(chosen)])[:32]
            if not folder.is_dir():
                with paths.atomic_folder(folder) as aside:
                    opened.extract(chosen, aside)
        return folder

    def push(self, folder: Path, reference: Reference, *, message: str, private: bool) -> str:
        """Pack the folder's files into a new archive; return its path."""
        archive = Path(reference.name).expanduser()
        with zipfile.ZipFile(archive, "x", zipfile.ZIP_STORED) as packed:  # weights do not compress
            for path in sorted(folder.iterdir()):
                packed.write(path, path.name)
        return str(archive)


def _beside_config(names: Sequence[str], archive: Path) -> dict[str, str]:
    """Map file name → archive member for the folder that has the `config.json`."""
    top = next((PurePosixPath(name).parent for name in names if PurePosixPath(name).name == "config.json"), None)
    if top is None:
        raise UsageError("contains no checkpoint: it has no config.json", where=str(archive), hint="Pack the checkpoint folder.")
    return {PurePosixPath(name).name: name for name in names if PurePosixPath(name).parent == top}
