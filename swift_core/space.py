"""Room on the disks for what a run will write, asked before it starts: the least that it must be, as far as sizes are known by then."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.checkpoint import read_config
from swift_core.specs import Problem

if TYPE_CHECKING:
    from swift_core.registry import Registry
    from swift_core.run import Run

_WEIGHTS = (".safetensors", ".gguf", ".bin", ".onnx", ".data")
_LEAST = {"quantize": 1 / 16, "export": 1 / 16, "merge": 1.0}
"""By verb: the least that the weights of the result are of the source's. 16: two bits of float32."""


def problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Disks that are too full for the run, each once."""
    for place, (where, size) in _needs(run, known).items():
        if size > (there := free(place)):
            message = f"{shown(size)} are needed at least, and {shown(there)} are free on the disk of '{place}'"
            yield Problem(where=where, message=message, hint=f"Free some space, or choose another folder with --{where}.")


def free(place: Path) -> int:
    """Bytes that may still be written at a place that need not exist yet."""
    return shutil.disk_usage(_existing(place)).free


def summed(needs: Iterable[tuple[Path, int]]) -> dict[Path, int]:
    """What is needed on each disk, by the first of the places on it."""
    sums: dict[int, tuple[Path, int]] = {}
    for place, size in needs:
        disk = os.stat(_existing(place)).st_dev
        first, before = sums.get(disk, (place, 0))
        sums[disk] = first, before + size
    return dict(sums.values())


def _needs(run: Run, known: Registry) -> Mapping[Path, tuple[str, int]]:
    """The places that are written to, each with the option that names it, and the least bytes that go there."""
    trains = "task" in run.parts
    if run.model is None or not (trains or run.verb in _LEAST) or "runs" not in run.options:
        return {}
    weights, others = _sizes(Path(run.model.path))
    if trains and known.spec(run.part("tuner")).trains == "adapter":
        weights = 0
    elif not trains and run.adapters and run.verb == "export":
        weights, others = _sizes(Path(next(iter(run.adapters.values())).path))
    least = int(_share(run) * weights) + others
    output, runs = str(run.options.get("output") or ""), Path(run.options["runs"])
    places = [(Path(output or runs), least)] + ([(runs, least)] if trains and output else [])
    options = {place: "output" if output and place == Path(output) else "runs" for place, _ in places}
    return {place: (options[place], size) for place, size in summed(places).items()}


def _share(run: Run) -> float:
    """The least that the result's weights are of the source's."""
    share = _LEAST.get(run.verb, 1.0)
    whole = run.options.get("dtype", "auto") == "auto" and not (run.model and read_config(Path(run.model.path)).get("quantization_config"))
    return share if whole else share / 4


def _sizes(folder: Path) -> tuple[int, int]:
    """Bytes of a checkpoint's weights, and of its other files."""
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    weights = sum(path.stat().st_size for path in files if path.suffix in _WEIGHTS)
    others = sum(path.stat().st_size for path in files if path.suffix in (".json", ".jinja", ".model", ".txt"))
    return weights, others


def _existing(place: Path) -> Path:
    place = place.absolute()
    return next(folder for folder in (place, *place.parents) if folder.exists())


def shown(size: int) -> str:
    """A number of bytes for people."""
    unit = next(((name, scale) for name, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if size >= scale), ("bytes", 1))
    return f"{size / unit[1]:.3g} {unit[0]}"
