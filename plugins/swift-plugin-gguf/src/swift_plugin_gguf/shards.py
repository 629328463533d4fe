"""Which files of a folder are one GGUF model: llama.cpp names those of a cut one NAME-00001-of-00003.gguf."""

from __future__ import annotations

import re
from pathlib import Path

from swift_core.errors import UsageError

_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})")


def model_files(folder: Path) -> list[Path]:
    """The files of the folder's one GGUF model, in order.

    Raises:
        UsageError: there is none, several, or not all of its files.
    """
    files = sorted(folder.glob("*.gguf"))
    if not files:
        raise UsageError("no GGUF file here", where=str(folder), hint="swift export CHECKPOINT --to gguf makes one.")
    if len(files) > 1 and len({stem_of(file) for file in files}) > 1:
        names = ", ".join(file.name for file in files[:4])
        raise UsageError(f"several GGUF models: {names}", where=str(folder), hint="Put the one that is meant into a folder of its own.")
    count = int(found[3]) if (found := _SHARD.fullmatch(files[0].stem)) else 1
    if len(files) != count:
        raise UsageError(f"{len(files)} of the model's {count} files are here", where=str(folder), hint="Fetch the others.")
    return files


def stem_of(file: Path) -> str:
    """The file's name without its number and its ending."""
    found = _SHARD.fullmatch(file.stem)
    return found[1] if found else file.stem
