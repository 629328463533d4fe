"""Find the data files of a folder that the datasets library wrote with `save_to_disk`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError


def saved_files(folder: Path) -> tuple[Path, ...]:
    """Return the data files of the dataset saved in a folder, in order; empty if the folder was not written by `save_to_disk`.

    Raises:
        UsageError: the folder holds several splits, or a data file is missing.
    """
    if (folder / "dataset_dict.json").is_file():
        splits = _json(folder / "dataset_dict.json").get("splits") or []
        hint = f"Name the folder of one split: {', '.join(str(folder / split) for split in splits)}."
        raise UsageError("the dataset has several splits", code="DATA-146", where=str(folder), hint=hint)
    state = folder / "state.json"
    if not state.is_file() or not (folder / "dataset_info.json").is_file():
        return ()
    files = tuple(folder / str(each["filename"]) for each in _json(state).get("_data_files") or ())
    if missing := [file for file in files if not file.is_file()]:
        raise UsageError(
            f"'{missing[0].name}', listed in state.json, is missing",
            code="DATA-147",
            where=str(folder),
            hint="Save or copy the dataset again.",
        )
    return files


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"not JSON: {error}", code="DATA-004", where=str(file), hint="Save the dataset again.") from None
