"""Check the free disk space for checkpoints and output, once the model is loaded and its size known, before the first step."""

from __future__ import annotations

import shutil
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swift_convert.disk_space import format_size, free_space, sum_per_disk
from swift_convert.links import link_or_copy

from swift_core.contract import DiskFull
from swift_core.system import output_path
from swift_train.checkpoints import run_on_all_ranks

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract import Run
    from swift_core.runs import Report
    from swift_train.strategy import Strategy

_LINKED = ".safetensors"
_STATE = 12  # bytes per trainable weight: float32 weight and AdamW's two moments


@dataclass(frozen=True, slots=True)
class CheckpointSize:
    """Bytes of a checkpoint: the model, and the training state that a resume needs."""

    model: int  # bytes of the weights
    state: int  # bytes of optimizer state and masters


def training_size(module: Module, kept: Container[str]) -> CheckpointSize:
    """Return the size of a checkpoint of the module in which the parameters `kept` are written."""
    parameters = list(module.named_parameters())
    return CheckpointSize(
        sum(parameter.numel() * parameter.element_size() for name, parameter in parameters if name in kept),
        sum(parameter.numel() for _, parameter in parameters if parameter.requires_grad) * _STATE,
    )


def check_disk_space(strategy: Strategy, size: CheckpointSize, run: Run, report: Report, *, keep: int | None) -> None:
    """Check that the last checkpoint and the output fit on the disk; warn if the intermediate checkpoints may not. Collective.

    Raises:
        DiskFull: they do not fit; raised on every rank.
    """

    def check() -> None:
        if not strategy.writer:
            return
        out, checkpoint = output_path(run, report.folder), size.model + size.state
        needs = [(report.folder, checkpoint)] + ([(out, size.model)] if run.options.get("output") else [])
        for place, needed in sum_per_disk(needs).items():
            if needed > (available := free_space(place)):
                raise DiskFull(
                    f"the disk has {format_size(available)} free, and this run writes at least {format_size(needed)}",
                    code="TRAIN-024",
                    where=str(place),
                    hint="Free some space, or choose other folders: --output for the result, --runs for the run folders.",
                )
        at_once = (keep or 0) + 1  # a new checkpoint is written before an old one is removed
        if at_once * checkpoint > (available := free_space(report.folder)):
            problem = f"{format_size(available)} are free, and up to {at_once} checkpoints of {format_size(checkpoint)} exist at once"
            report.note(f"WARNING: {problem}: a lower --save-total-limit keeps fewer.")

    run_on_all_ranks(strategy, report.folder, check)


def copy_model(source: Path, target: Path, *, link: bool) -> None:
    """Copy a checkpoint's files into an empty folder; with `link`, hard-link the weights, which takes no space."""
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir()
        elif link and path.suffix == _LINKED:
            link_or_copy(path, copy)
        else:
            shutil.copyfile(path, copy)
