"""Find the data files of a file, a folder, or a glob pattern such as `data/**/*.jsonl`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from glob import iglob
from pathlib import Path

from swift_core.contract import UsageError, suggestion
from swift_plugin_datasets.readers import READERS, format_of
from swift_plugin_datasets.save_to_disk import saved_files

# Files that describe the data and are not data files themselves.
_TEXTS = ("readme", "license", "licence", "copying", "notice", "changelog")
_DESCRIPTIONS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "swift.json")


def find_files(text: str) -> tuple[Path, ...]:
    """Return the data files, sorted by path; a path that exists is never treated as a pattern.

    Args:
        text: a file, a folder or a glob pattern, with an optional `file:` prefix; `~` is expanded.

    Raises:
        UsageError: no data file was found; the hint says what is there instead.
    """
    path = Path(os.path.expanduser(text.removeprefix("file:")))
    if path.is_dir():
        if saved := saved_files(path):
            return saved
        inside = (file for file in path.rglob("*") if not any(part.startswith(".") for part in file.relative_to(path).parts))
        return _data_files(inside, path, "the folder has no data file")
    if path.exists():
        return (path,)
    if any(mark in str(path) for mark in "*?["):
        return _data_files(map(Path, iglob(str(path), recursive=True)), path, "no data file matches this pattern")
    raise UsageError("there is no such file or folder", code="DATA-123", where=str(path), hint=_nearest(path) or "Check the path.")


def _data_files(found: Iterable[Path], path: Path, message: str) -> tuple[Path, ...]:
    files = sorted(file for file in found if file.is_file())
    data = tuple(file for file in files if _is_data(file))
    if data:
        return data
    if files:
        hint = f"Found only: {_first([file.name for file in files])}. Data files end in {', '.join(READERS)}."
    else:
        hint = "The folder is empty." if path.is_dir() else _nearest(path) or "Check the pattern; ** matches subfolders."
    raise UsageError(message, code="DATA-124", where=str(path), hint=hint)


def _is_data(file: Path) -> bool:
    describes = file.name in _DESCRIPTIONS or file.name.lower().partition(".")[0] in _TEXTS
    return format_of(file) in READERS and not describes


def _nearest(path: Path) -> str:
    """Suggest the entry nearest to a missing path, in its last folder that exists."""
    while not path.parent.is_dir():
        path = path.parent
    names = sorted(item.name for item in path.parent.iterdir() if not item.name.startswith("."))
    return suggestion(path.name, names) or (f"'{path.parent}' contains: {_first(names)}." if names else "")


def _first(names: Sequence[str], maximum: int = 5) -> str:
    return ", ".join([*names[:maximum], *(["…"] if len(names) > maximum else [])])
