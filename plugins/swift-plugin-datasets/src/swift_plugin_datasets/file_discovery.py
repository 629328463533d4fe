"""A path as a user writes it → data files: a file, a folder, or a pattern such as `data/**/*.jsonl`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from glob import iglob
from pathlib import Path

from swift_core.contract.errors import UsageError, suggestion
from swift_plugin_datasets.readers import READERS, format_of
from swift_plugin_datasets.save_to_disk import saved_files

# Files beside the data that describe it.
_TEXTS = ("readme", "license", "licence", "copying", "notice", "changelog")
_DESCRIPTIONS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "swift.json")


def find_files(text: str) -> tuple[Path, ...]:
    """The data files, in order of their names. A path that exists is never a pattern.

    Raises:
        UsageError: there is none; says what is there instead.
    """
    path = Path(os.path.expanduser(text.removeprefix("file:")))
    if path.is_dir():
        if saved := saved_files(path):
            return saved
        inside = (file for file in path.rglob("*") if not any(part.startswith(".") for part in file.relative_to(path).parts))
        return _data_files(inside, path, "this folder has no data file")
    if path.exists():
        return (path,)
    if any(mark in str(path) for mark in "*?["):
        return _data_files(map(Path, iglob(str(path), recursive=True)), path, "no data file is like this pattern")
    raise UsageError("there is no such file or folder", where=str(path), hint=_instead(path) or "Check the path.")


def _data_files(found: Iterable[Path], path: Path, message: str) -> tuple[Path, ...]:
    files = sorted(file for file in found if file.is_file())
    data = tuple(file for file in files if _is_data(file))
    if data:
        return data
    if files:
        hint = f"There is: {_some([file.name for file in files])}. Data files end in {', '.join(READERS)}."
    else:
        hint = "It is empty." if path.is_dir() else _instead(path) or "Check the pattern; ** goes into folders."
    raise UsageError(message, where=str(path), hint=hint)


def _is_data(file: Path) -> bool:
    described = file.name in _DESCRIPTIONS or file.name.lower().partition(".")[0] in _TEXTS
    return format_of(file) in READERS and not described


def _instead(path: Path) -> str:
    """What is nearest to a path that leads nowhere, in the last folder of it that exists."""
    while not path.parent.is_dir():
        path = path.parent
    names = sorted(item.name for item in path.parent.iterdir() if not item.name.startswith("."))
    return suggestion(path.name, names) or (f"'{path.parent}' has: {_some(names)}." if names else "")


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join([*names[:most], *(["…"] if len(names) > most else [])])
