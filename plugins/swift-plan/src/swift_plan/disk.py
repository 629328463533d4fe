"""Disk space of a run: what is downloaded, tokenised and written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swift_convert.disk_space import free_space

from swift_core.contract import TunerSpec
from swift_core.plugins import registry
from swift_plan.formula import width_of

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_plan.checkpoint_shapes import Shapes
    from swift_plan.formula import State
    from swift_plan.workload import Workload

_STATE = 12  # bytes per trainable weight in a checkpoint: float32 weight and AdamW's two moments
_TOKEN = 5  # bytes of a tokenised token: its id, and the spans of supervised ones


def training_disk(run: Run, shapes: Shapes, state: State, work: Workload, dtype: str, *, absent: int = 0) -> dict[str, int]:
    """Return the bytes that a training run writes, by purpose; `absent` bytes of the model are not on this machine yet."""
    options = run.part("task").options
    adapter = registry().spec(run.part("tuner"), TunerSpec).trains == "adapter"
    model = 4 * state.trained if adapter else shapes.parameters * width_of(dtype)
    keep = options.get("save_total_limit")
    at_once = int(keep or work.steps or 1) + 1  # a new checkpoint is written before an old one is removed
    if options.get("save_strategy") == "no":
        at_once = 1
    rows = work.steps * len(work.lengths) * work.passes * run.workers
    found = {
        "download": absent,
        "tokens": _TOKEN * rows * max(work.lengths, default=0) if not options.get("max_steps") else 0,
        "checkpoints": at_once * (model + _STATE * state.trained),
        "output": model if run.options.get("output") else 0,
    }
    return {name: size for name, size in found.items() if size}


def free_for(run: Run) -> int:
    """Return the bytes free where the run folder is made."""
    return free_space(Path(str(run.options.get("runs") or ".")))
