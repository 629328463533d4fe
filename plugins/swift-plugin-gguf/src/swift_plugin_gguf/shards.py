"""The files of a GGUF model; those of a split one are named NAME-00001-of-00003.gguf, as by llama.cpp."""

from __future__ import annotations

import re
from pathlib import Path

from swift_core.contract import UsageError

_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})")


def model_files(folder: Path) -> list[Path]:
    """Return the files of the one GGUF model in a folder, in order.

    Raises:
        UsageError: there is no model, there are several, or files of it are missing.
    """
    files = sorted(folder.glob("*.gguf"))
    if not files:
        raise UsageError(
            "the folder has no GGUF file", code="EXPORT-032", where=str(folder), hint="Create one: swift export CHECKPOINT --to gguf."
        )
    if len(files) > 1 and len({stem_of(file) for file in files}) > 1:
        names = ", ".join(file.name for file in files[:4])
        raise UsageError(
            f"the folder has several GGUF models: {names}", code="EXPORT-033", where=str(folder), hint="Keep one model per folder."
        )
    count = int(found[3]) if (found := _SHARD.fullmatch(files[0].stem)) else 1
    if len(files) != count:
        raise UsageError(
            f"the folder has {len(files)} of the model's {count} files", code="EXPORT-034", where=str(folder), hint="Download the others."
        )
    return files


def stem_of(file: Path) -> str:
    """Return the file name without the split number and the extension."""
    found = _SHARD.fullmatch(file.stem)
    return found[1] if found else file.stem
