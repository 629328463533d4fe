"""Disk space check before a run starts: a lower bound of what it will write, as far as sizes are known by then."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.checkpoints import Checkpoint
from swift_core.contract import Problem, TunerSpec
from swift_core.plugins import find_verb

if TYPE_CHECKING:
    from swift_core.contract import Run, VerbSpec
    from swift_core.plugins import Registry


def problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Yield one problem for each disk that has too little free space for the run."""
    verb = find_verb(run.verb, known)
    if verb is None:
        return
    for place, (where, size) in _needs(run, verb, known).items():
        if size > (available := free_space(place)):
            message = f"at least {format_size(size)} are needed, but only {format_size(available)} are free on the disk of '{place}'"
            yield Problem(code="RUN-023", where=where, message=message, hint=f"Free some space, or choose another folder with --{where}.")


def free_space(place: Path) -> int:
    """Return the free bytes on the disk of `place`, which need not exist yet."""
    return shutil.disk_usage(_existing(place)).free


def sum_per_disk(needs: Iterable[tuple[Path, int]]) -> dict[Path, int]:
    """Sum the bytes needed per disk, keyed by the first path on it."""
    sums: dict[int, tuple[Path, int]] = {}
    for place, size in needs:
        disk = os.stat(_existing(place)).st_dev
        first, before = sums.get(disk, (place, 0))
        sums[disk] = first, before + size
    return dict(sums.values())


def _needs(run: Run, verb: VerbSpec, known: Registry) -> Mapping[Path, tuple[str, int]]:
    """Map each path that is written to the option that sets it and the minimum number of bytes written there."""
    trains = "task" in run.parts
    if run.model is None or not verb.output_ratio or "runs" not in run.options:
        return {}
    weights, others = _sizes(Path(run.model.path))
    if trains and known.spec(run.part("tuner"), TunerSpec).trains == "adapter":
        weights = 0
    elif run.adapters and "exporter" in run.parts:
        weights, others = _sizes(Path(next(iter(run.adapters.values())).path))
    least = int(_share(run, verb.output_ratio) * weights) + others
    output, runs = str(run.options.get("output") or ""), Path(run.options["runs"])
    places = [(Path(output or runs), least)] + ([(runs, least)] if trains and output else [])
    options = {place: "output" if output and place == Path(output) else "runs" for place, _ in places}
    return {place: (options[place], size) for place, size in sum_per_disk(places).items()}


def _share(run: Run, share: float) -> float:
    """Return the minimum size of the result's weights relative to the source's."""
    whole = run.options.get("dtype", "auto") == "auto" and not (run.model and Checkpoint.at(run.model.path).quantization)
    return share if whole else share / 4


def _sizes(folder: Path) -> tuple[int, int]:
    """Return the bytes of a checkpoint's weights, and of its other files."""
    found = Checkpoint.at(folder)
    weights = sum(path.stat().st_size for path in found.weights)
    return weights, sum(path.stat().st_size for path in found.files) - weights


def _existing(place: Path) -> Path:
    place = place.absolute()
    return next(folder for folder in (place, *place.parents) if folder.exists())


def format_size(size: int) -> str:
    """Format a number of bytes for display, such as `1.23 GB`."""
    unit = next(((name, scale) for name, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if size >= scale), ("bytes", 1))
    return f"{size / unit[1]:.3g} {unit[0]}"
