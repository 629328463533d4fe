"""Folders that `datasets` has written with `save_to_disk`: one data set, or one a split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swift_core.contract.errors import UsageError


def saved_files(folder: Path) -> tuple[Path, ...]:
    """The files of the data set saved in a folder, in order; none where nothing was saved so.

    Raises:
        UsageError: it has several splits, or files of it are missing.
    """
    if (folder / "dataset_dict.json").is_file():
        splits = _json(folder / "dataset_dict.json").get("splits") or []
        hint = f"Name one of them: {', '.join(str(folder / split) for split in splits)}."
        raise UsageError("a data set with several splits", where=str(folder), hint=hint)
    state = folder / "state.json"
    if not state.is_file() or not (folder / "dataset_info.json").is_file():
        return ()
    files = tuple(folder / str(each["filename"]) for each in _json(state).get("_data_files") or ())
    if missing := [file for file in files if not file.is_file()]:
        raise UsageError(
            f"'{missing[0].name}' is missing, which state.json names", where=str(folder), hint="Save or copy the data set again."
        )
    return files


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"not JSON: {error}", where=str(file), hint="Save the data set again.") from None
