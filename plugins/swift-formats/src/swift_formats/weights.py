"""Safetensors files, inspected without loading the tensors: completeness and index. Standard library only.

A file is eight bytes (the header's length), the header (JSON: name → dtype, shape, data_offsets), then the data.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError

INDEX, WHOLE, ADAPTER = "model.safetensors.index.json", "model.safetensors", "adapter_model.safetensors"
_AGAIN = "Fetch the checkpoint again."


def read_header(file: Path) -> dict[str, Any]:
    """Return the header of a safetensors file: tensor name → dtype, shape, data_offsets.

    Raises:
        UsageError: not a safetensors file, or its size differs from what the header says.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = int.from_bytes(start, "little")
        if start == b"version ":
            raise UsageError(
                "a Git LFS pointer, not the weights",
                code="CKPT-015",
                where=str(file),
                hint="Run `git lfs pull` in the repository, or fetch the model again.",
            )
        if len(start) < 8 or length > max(size, 100_000_000):
            raise UsageError(f"not a safetensors file ({size:,} bytes)", code="CKPT-016", where=str(file), hint=_AGAIN)
        if 8 + length > size:
            raise UsageError(
                f"truncated: {size:,} bytes, but the header alone has {8 + length:,}", code="CKPT-017", where=str(file), hint=_AGAIN
            )
        try:
            header = dict(json.loads(stream.read(length)))
        except (ValueError, TypeError):
            raise UsageError("damaged: its header is not JSON", code="CKPT-018", where=str(file), hint=_AGAIN) from None
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
            raise UsageError(f"damaged: its header does not describe {name!r}", code="CKPT-019", where=str(file), hint=_AGAIN)
    expected = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if size != expected:
        problem = "truncated" if size < expected else "damaged"
        raise UsageError(f"{problem}: {size:,} bytes, but its header says {expected:,}", code="CKPT-020", where=str(file), hint=_AGAIN)
    return header


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a folder: the shards in its index if it has one, else `model.safetensors` or all that there are.

    Raises:
        UsageError: the index can't be read, or lists files that are missing.
    """
    if not (folder / INDEX).is_file():
        return [folder / WHOLE] if (folder / WHOLE).is_file() else sorted(folder.glob("*.safetensors"))
    names = sorted(set(weight_map(folder).values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise UsageError(
            f"{len(missing)} of {len(names)} weight files are missing: {shown}", code="CKPT-021", where=str(folder), hint=_AGAIN
        )
    return [folder / name for name in names]


def weight_map(folder: Path) -> dict[str, str]:
    """Return the `weight_map` of the index: tensor name → file name.

    Raises:
        UsageError: the index can't be read, or lists files outside the folder.
    """
    index = folder / INDEX
    try:
        places = {str(name): str(file) for name, file in json.loads(index.read_text(encoding="utf-8"))["weight_map"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError("not an index of safetensors files", code="CKPT-022", where=str(index), hint=_AGAIN) from None
    if outside := next((file for file in places.values() if Path(file).name != file), None):
        raise UsageError(f"lists a file outside the folder: {outside}", code="CKPT-023", where=str(index), hint=_AGAIN)
    return places
