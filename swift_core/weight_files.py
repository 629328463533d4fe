"""Safetensors files, looked at without loading them: whole, and where the index says. Standard library only.

A file is eight bytes (the header's length), the header (JSON: name → dtype, shape, data_offsets), then the data.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swift_core.errors import UsageError

INDEX, WHOLE, ADAPTER = "model.safetensors.index.json", "model.safetensors", "adapter_model.safetensors"
_AGAIN = "Fetch the checkpoint again."


def read_header(file: Path) -> dict[str, Any]:
    """The header's entries by tensor name.

    Raises:
        UsageError: not a safetensors file, or shorter or longer than its header says.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = int.from_bytes(start, "little")
        if start == b"version ":
            raise UsageError(
                "a Git LFS pointer, not the weights",
                where=str(file),
                hint="Run `git lfs pull` in the repository, or fetch the model again.",
            )
        if len(start) < 8 or length > max(size, 100_000_000):
            raise UsageError(f"not a safetensors file ({size:,} bytes)", where=str(file), hint=_AGAIN)
        if 8 + length > size:
            raise UsageError(f"truncated: {size:,} bytes of a header of {8 + length:,}", where=str(file), hint=_AGAIN)
        try:
            header = dict(json.loads(stream.read(length)))
        except (ValueError, TypeError):
            raise UsageError("damaged: its header is not JSON", where=str(file), hint=_AGAIN) from None
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
            raise UsageError(f"damaged: its header does not describe {name!r}", where=str(file), hint=_AGAIN)
    wanted = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if size != wanted:
        problem = "truncated" if size < wanted else "damaged"
        raise UsageError(f"{problem}: {size:,} bytes, but its header says {wanted:,}", where=str(file), hint=_AGAIN)
    return header


def weight_files(folder: Path) -> list[Path]:
    """The folder's safetensors files: those of its index, where it has one, else the one with all weights.

    Raises:
        UsageError: the index can't be read, or names files that are missing.
    """
    if not (folder / INDEX).is_file():
        return [folder / WHOLE] if (folder / WHOLE).is_file() else sorted(folder.glob("*.safetensors"))
    names = sorted(set(weight_map(folder).values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise UsageError(f"{len(missing)} of {len(names)} weight files are missing: {shown}", where=str(folder), hint=_AGAIN)
    return [folder / name for name in names]


def weight_map(folder: Path) -> dict[str, str]:
    """Which file has which tensor, as the index says.

    Raises:
        UsageError: the index can't be read, or names files elsewhere.
    """
    index = folder / INDEX
    try:
        places = {str(name): str(file) for name, file in json.loads(index.read_text(encoding="utf-8"))["weight_map"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError("not an index of safetensors files", where=str(index), hint=_AGAIN) from None
    if outside := next((file for file in places.values() if Path(file).name != file), None):
        raise UsageError(f"names a file outside of the folder: {outside}", where=str(index), hint=_AGAIN)
    return places
