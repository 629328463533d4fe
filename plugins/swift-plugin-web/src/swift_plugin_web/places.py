"""Paths of a page stay inside the folders that it was started with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError
from swift_plugin_web.levels import NAMES

_SPLIT = re.compile(r"[=#,\s]+")
_PLUGIN = re.compile(r"[\w-]+(:[\w-]+=[^:]*)*|[^:]*")  # a name with options, or a text without colons
_NAME = re.compile(r"[\w][\w.+ -]{0,120}")


def inside(path: Path | str, folders: Sequence[Path]) -> Path:
    """Return the real path, symbolic links followed.

    Raises:
        UsageError: it is outside the folders.
    """
    real = Path(path).expanduser().resolve()
    if not any(real.is_relative_to(folder.resolve()) for folder in folders):
        raise UsageError(
            f"'{path}' is outside the folders of this page",
            code="WEB-001",
            hint="swift web --folder FOLDER gives access to another one.",
        )
    return real


def check_values(values: Any, folders: Sequence[Path], where: str = "") -> None:
    """Check every text in option values that is, or may become, a path or code.

    Raises:
        UsageError: one is outside the folders, or names code where a plugin is wanted.
    """
    for place, text in _texts(values, where):
        if NAMES & {*place.split(".")} and not _PLUGIN.fullmatch(text):
            hint = "Give the name of one that a plugin provides; only the command line accepts code."
            raise UsageError("this page accepts names here, no code", code="WEB-022", where=place, hint=hint)
        for piece in (text, *_SPLIT.split(text)):
            bare = re.sub(r"^[a-z]+:(?=[/~.])", "", piece)
            if bare.startswith(("/", "~", "\\")) or ".." in Path(bare).parts or (bare and _exists(bare)):
                try:
                    inside(bare, folders)
                except UsageError as error:
                    raise error.with_context(where=place) from None


def file_name(text: str, suffixes: Sequence[str]) -> str:
    """Return the last part of an uploaded file's name.

    Raises:
        UsageError: it has no such suffix, or other characters than letters, digits, spaces and `._+-`.
    """
    name = text.replace("\\", "/").rpartition("/")[2].strip()
    if not _NAME.fullmatch(name) or not name.lower().endswith(tuple(suffixes)):
        raise UsageError(
            f"'{name[:80]}' is not an allowed file name",
            code="WEB-002",
            hint=f"Use letters, digits, ._+-, and {', '.join(suffixes)}.",
        )
    return name


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, f"{where}.{name}" if where else str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, where)
