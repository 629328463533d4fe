"""Groups of weights that share a scale: whether they divide a checkpoint's layers, from the headers of its files: no weight is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract.specs import Problem
from swift_train.weights import read_header, weight_files

if TYPE_CHECKING:
    from swift_core.contract.run import Run

_WHOLE = ("lm_head", "embed_tokens")


def problems(run: Run) -> Iterator[Problem]:
    """Refuse a `group_size` of the run's quantizer that does not divide the rows of the weights, with those that do."""
    choice = run.parts.get("quantizer")
    if choice is None or run.model is None or (size := choice.options.get("group_size") or 0) <= 0:
        return
    widths = input_sizes(Path(run.model.path), choice.options.get("skip", ()))
    odd = {name: width for name, width in widths.items() if width % size}
    if odd:
        name, width = next(iter(odd.items()))
        sizes = ", ".join(map(str, dividing_sizes(widths.values()))) or "-1 (one scale a row)"
        more = f" ({name} and {len(odd) - 1} more)" if len(odd) > 1 else f" ({name})"
        message = f"groups of {size} don't divide rows of {width} weights{more}"
        yield Problem(where="group_size", message=message, hint=f"These divide all of them: {sizes}.")


def input_sizes(checkpoint: Path, skip: Sequence[str]) -> dict[str, int]:
    """The weights a row of every linear layer that is quantized, by the layer's name."""
    found = {}
    for file in weight_files(checkpoint):
        for name, entry in read_header(file).items():
            module = name.removesuffix(".weight")
            if module != name and len(entry["shape"]) == 2 and not set(module.split(".")) & {*_WHOLE, *skip}:
                found[module] = entry["shape"][1]
    return found


def dividing_sizes(widths: Iterable[int]) -> list[int]:
    """The group sizes in use that divide every width."""
    every = set(widths)
    return [size for size in (32, 64, 128, 256) if all(width % size == 0 for width in every)]
