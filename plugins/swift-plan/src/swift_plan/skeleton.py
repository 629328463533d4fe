"""A model that is not on this machine, as a checkpoint without weights: configuration, tokenizer, and the headers of its weights.

The hub downloads the small files as it does all others. The headers of safetensors files come by range requests if the hub gives them
(`swift_hub.headers.HeaderHub`). A weight file is then its header and a hole: of the size of the original, but without space on the disk.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_hub.headers import Header, HeaderHub

from swift_core.checkpoints import Fetcher
from swift_core.contract import SwiftError, UsageError
from swift_core.system import atomic_folder, cache_dir, digest, offline_if, remember_sha256

if TYPE_CHECKING:
    from swift_core.contract import Progress
    from swift_core.plugins import Registry

_SMALL = (".json", ".jinja", ".model", ".txt")


def local_or_skeleton(
    text: str, known: Registry, *, hub: str = "", offline: bool = False, progress: Progress | None = None
) -> tuple[str, int]:
    """Return what to name as the model, and the bytes that a run would download.

    A local folder, and a model that has been fetched, is named as it is; so is one of a hub that gives no headers, which is then fetched.

    Raises:
        UsageError: no such reference, or offline.
    """
    fetcher = Fetcher(known, hub=hub, progress=progress)
    if Path(text).exists():
        return text, 0
    reference = fetcher.reference(text)
    if reference.scheme == "file":
        return text, 0
    with suppress(SwiftError), offline_if(True):
        fetcher.folder(reference, "model")
        return text, 0
    found: Any = fetcher.hub_of(reference, "model").build()
    if offline or not isinstance(found, HeaderHub):
        return text, 0
    headers = found.headers(reference)
    if not headers:
        raise UsageError("the repository has no safetensors files", code="PLAN-005", where=text, hint="Plan another format of it.")
    folder = cache_dir("plan", "skeletons", digest([str(reference), sorted(headers)])[:32])
    if not (folder / "config.json").is_file():
        small = Path(found.fetch(reference, select=_small_files, progress=progress))
        _write(small, headers, folder)
    return str(folder), sum(map(_data_size, headers.values()))


def _small_files(names: Sequence[str]) -> list[str]:
    return [name for name in names if "/" not in name and name.endswith(_SMALL)]


def _write(small: Path, headers: Mapping[str, Header], folder: Path) -> None:
    with atomic_folder(folder, overwrite=True) as partial:
        for path in small.iterdir():
            if path.is_file() and path.suffix in _SMALL:
                shutil.copyfile(path, partial / path.name)
        for name, header in headers.items():
            text = json.dumps(header).encode()
            text += b" " * (-len(text) % 8)
            with (partial / Path(name).name).open("wb") as file:
                file.write(len(text).to_bytes(8, "little") + text)
                file.truncate(8 + len(text) + _data_size(header))
    for path in folder.glob("*.safetensors"):  # reading gigabytes of zeros tells nothing
        remember_sha256(path, digest([str(folder), path.name]))


def _data_size(header: Header) -> int:
    return max((int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"), default=0)
