"""Check that a quantization group size divides the layers of a checkpoint, from the safetensors headers, without reading weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from swift_formats.weights import read_header, weight_files

from swift_core.contract import Problem

if TYPE_CHECKING:
    from swift_core.contract import Run

_NOT_QUANTIZED = ("lm_head", "embed_tokens")


def problems(run: Run) -> Iterator[Problem]:
    """Report a `group_size` of the run's quantizer that does not divide the input size of every layer, and the sizes that do."""
    choice = run.parts.get("quantizer")
    if choice is None or run.model is None or (size := choice.options.get("group_size") or 0) <= 0:
        return
    sizes = input_sizes(Path(run.model.path), choice.options.get("skip", ()))
    indivisible = {name: width for name, width in sizes.items() if width % size}
    if indivisible:
        name, width = next(iter(indivisible.items()))
        usable = ", ".join(map(str, dividing_sizes(sizes.values()))) or "-1 (one scale per row)"
        layers = f"{name} and {len(indivisible) - 1} more" if len(indivisible) > 1 else name
        message = f"a group size of {size} does not divide the {width} inputs of {layers}"
        yield Problem(code="TRAIN-028", where="group_size", message=message, hint=f"Group sizes that divide every layer: {usable}.")


def input_sizes(checkpoint: Path, skip: Sequence[str]) -> dict[str, int]:
    """Return the input size of every linear layer that is quantized, by layer name."""
    found = {}
    for file in weight_files(checkpoint):
        for name, entry in read_header(file).items():
            module = name.removesuffix(".weight")
            if module != name and len(entry["shape"]) == 2 and not set(module.split(".")) & {*_NOT_QUANTIZED, *skip}:
                found[module] = entry["shape"][1]
    return found


def dividing_sizes(sizes: Iterable[int]) -> list[int]:
    """Return the common group sizes (32, 64, 128, 256) that divide every given size."""
    distinct = set(sizes)
    return [group for group in (32, 64, 128, 256) if all(size % group == 0 for size in distinct)]
