"""Check a checkpoint's weight files by their headers, without loading them, and find their dtype."""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path

from swift_formats.completeness import check_tensors
from swift_formats.weights import read_header, weight_files

from swift_core.checkpoints import Checkpoint
from swift_core.contract import UsageError

__all__ = ["check_weights", "read_header", "stored_dtype", "weight_files"]

_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}


def check_weights(folder: Path) -> None:
    """Check every weight file of a checkpoint against its header, the index and the config.

    Raises:
        UsageError: there are no weights, or a file is damaged or incomplete (see `check_tensors`).
    """
    if not weight_files(folder):
        raise UsageError("no safetensors weights here", code="TRAIN-091", where=str(folder), hint="Check that this is the right folder.")
    check_tensors(folder, Checkpoint.at(folder).config)


def stored_dtype(folder: Path) -> str:
    """Return the dtype of most of a checkpoint's weights; bfloat16 for a GGUF file."""
    counts: Counter[str] = Counter()
    for file in weight_files(folder) if folder.is_dir() else []:
        for entry in read_header(file).values():
            counts[_DTYPES.get(entry["dtype"], "")] += prod(entry["shape"])
    del counts[""]
    return counts.most_common(1)[0][0] if counts else "bfloat16"
