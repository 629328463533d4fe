"""DeepSpeed's compiled operators: none is built that is not needed, and no build waits for one that was killed.

torch marks a build by a file `lock`, which a killed build leaves behind, and on which every later run waits for ever. Builds here hold a
lock of the operating system instead, which ends with the process that has it; whoever holds it may clear torch's file.
"""

from __future__ import annotations

import fcntl
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.paths import cache_dir

if TYPE_CHECKING:
    from torch.optim import Optimizer

log = logging.getLogger(__name__)


@contextmanager
def builds(folder: Path) -> Iterator[None]:
    """Alone in building operators below the folder, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "building").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for left in folder.glob("*/lock"):
            log.warning("A build that was killed left %s; it is cleared.", left)
            left.unlink()
        yield


def cpu_adam(optimizer: Optimizer) -> Optimizer:
    """DeepSpeed's AdamW for the CPU in place of torch's; the same optimizer where it is another, or where it can't be built here.

    The first time it is compiled, which takes a minute or two.
    """
    import torch
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    if type(optimizer) is not torch.optim.AdamW:
        return optimizer
    folder = operators()
    os.environ["TORCH_EXTENSIONS_DIR"] = str(folder)
    groups = [
        {key: group[key] for key in ("params", "lr", "betas", "eps", "weight_decay", "mult") if key in group}
        for group in optimizer.param_groups
    ]
    try:
        with builds(folder):
            made: Optimizer = DeepSpeedCPUAdam(groups, adamw_mode=True)
    except (RuntimeError, OSError, ImportError) as error:
        reason = str(error).strip().splitlines()
        log.warning("CPUAdam can't be built here (%s): torch's AdamW does its work, more slowly.", reason[-1] if reason else error)
        return optimizer
    made.register_step_pre_hook(_forget_powers)
    return made


def operators() -> Path:
    """Where operators are compiled: a folder for each version of what they are compiled with."""
    return cache_dir("deepspeed", f"{version('deepspeed')}-torch-{version('torch')}-{platform.python_version()}-{platform.machine()}")


def _forget_powers(optimizer: Any, args: Any, kwargs: Any) -> None:
    """Make a step of CPUAdam a function of its number, by an update of nothing with other betas.

    It multiplies the powers of the betas up from step to step, but works them out anew in a resumed run, which differs by a rounding.
    """
    import torch

    nothing = torch.zeros(1)
    optimizer.ds_opt_adam.adam_update(optimizer.opt_id, 1, 0.0, 0.0, 0.0, 1.0, 0.0, False, nothing, nothing, nothing, nothing)


def leave_out_shared_memory() -> None:
    """Keep `init_distributed` from compiling an operator that only inference uses."""
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
