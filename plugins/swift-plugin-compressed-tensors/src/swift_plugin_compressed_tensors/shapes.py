"""How wide a checkpoint's linear layers are, from the headers of its files: no weight is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from swift_train.weights import read_header, weight_files

_WHOLE = ("lm_head", "embed_tokens")


def columns(checkpoint: Path, skip: Sequence[str]) -> dict[str, int]:
    """The weights a row of every linear layer that is quantized, by the layer's name."""
    found = {}
    for file in weight_files(checkpoint):
        for name, entry in read_header(file).items():
            module = name.removesuffix(".weight")
            if module != name and len(entry["shape"]) == 2 and not set(module.split(".")) & {*_WHOLE, *skip}:
                found[module] = entry["shape"][1]
    return found


def fitting(widths: Iterable[int]) -> list[int]:
    """The group sizes in use that divide every width."""
    every = set(widths)
    return [size for size in (32, 64, 128, 256) if all(width % size == 0 for width in every)]
