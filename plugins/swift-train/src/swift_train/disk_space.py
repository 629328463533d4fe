"""Room for what a training writes: asked once the model is there and its sizes are known, before the first step."""

from __future__ import annotations

import shutil
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract.errors import DiskFull
from swift_core.contract.run import output_path
from swift_core.runs.space import free, shown, summed
from swift_core.system.paths import copy_file
from swift_train.checkpoints import run_on_all_ranks

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract.run import Run
    from swift_core.runs.events import Report
    from swift_train.strategy import Strategy

_LINKED = ".safetensors"
_STATE = 12  # bytes a learned weight: itself in float32, and AdamW's two averages


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of a checkpoint's model, and of the state beside it that a resume needs."""

    model: int
    state: int


def training_size(module: Module, kept: Container[str]) -> Size:
    """What a checkpoint of the module takes, of which the parameters `kept` are written."""
    parameters = list(module.named_parameters())
    return Size(
        sum(parameter.numel() * parameter.element_size() for name, parameter in parameters if name in kept),
        sum(parameter.numel() for _, parameter in parameters if parameter.requires_grad) * _STATE,
    )


def check_disk_space(strategy: Strategy, size: Size, run: Run, report: Report, *, keep: int | None) -> None:
    """Refuse to train where the last checkpoint or the output would not fit; note where those in between won't.

    Raises:
        DiskFull: on every rank.
    """

    def check() -> None:
        if not strategy.writer:
            return
        out, checkpoint = output_path(run, report.folder), size.model + size.state
        needs = [(report.folder, checkpoint)] + ([(out, size.model)] if run.options.get("output") else [])
        for place, least in summed(needs).items():
            if least > (there := free(place)):
                raise DiskFull(
                    f"the disk has {shown(there)} free, and what this run makes takes {shown(least)} at least",
                    where=str(place),
                    hint="Free some space, or choose other folders: --output for the result, --runs for run folders.",
                )
        at_once = (keep or 0) + 1  # a new checkpoint is written before an old one is removed
        if at_once * checkpoint > (there := free(report.folder)):
            text = (
                f"{shown(there)} are free for checkpoints of {shown(checkpoint)}, and up to {at_once} lie there at once: --save-total-limit"
            )
            report.note(f"WARNING: {text} keeps fewer.")

    run_on_all_ranks(strategy, report.folder, check)


def copy_model(source: Path, target: Path, *, link: bool) -> None:
    """Copy a checkpoint's files into an empty folder; weights as links, which take no room, if told so."""
    for path in sorted(source.rglob("*")):
        there = target / path.relative_to(source)
        if path.is_dir():
            there.mkdir()
        elif link and path.suffix == _LINKED:
            copy_file(path, there)
        else:
            shutil.copyfile(path, there)
