"""Safetensors files, looked at before they are loaded: whole, where the index says, and of which type. Standard library only.

A file is eight bytes (the header's length), the header (JSON: name → dtype, shape, data_offsets), then the data.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

from swift_core.errors import UsageError

_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}
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
            header = json.loads(stream.read(length))
        except ValueError:
            raise UsageError("damaged: its header is not JSON", where=str(file), hint=_AGAIN) from None
    header.pop("__metadata__", None)
    wanted = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if size != wanted:
        problem = "truncated" if size < wanted else "damaged"
        raise UsageError(f"{problem}: {size:,} bytes, but its header says {wanted:,}", where=str(file), hint=_AGAIN)
    return dict(header)


def weight_files(folder: Path) -> list[Path]:
    """The folder's safetensors files: those of its index, where it has one.

    Raises:
        UsageError: the index can't be read, or names files that are missing.
    """
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return sorted(folder.glob("*.safetensors"))
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError):
        raise UsageError("not an index of safetensors files", where=str(index), hint=_AGAIN) from None
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise UsageError(f"{len(missing)} of {len(names)} weight files are missing: {shown}", where=str(folder), hint=_AGAIN)
    return [folder / name for name in names]


def check_weights(folder: Path) -> None:
    """Check every weight file of a checkpoint by its header and size; raises UsageError as `read_header` and `weight_files` do."""
    files = weight_files(folder)
    if not files:
        raise UsageError("no safetensors weights here", where=str(folder), hint="Is this the right folder?")
    for file in files:
        read_header(file)


def stored_dtype(folder: Path) -> str:
    """The type that most of a checkpoint's numbers are stored in; bfloat16 for a GGUF file, whose few bits it holds."""
    counts: Counter[str] = Counter()
    for file in weight_files(folder) if folder.is_dir() else []:
        for entry in read_header(file).values():
            counts[_DTYPES.get(entry["dtype"], "")] += prod(entry["shape"])
    del counts[""]
    return counts.most_common(1)[0][0] if counts else "bfloat16"
